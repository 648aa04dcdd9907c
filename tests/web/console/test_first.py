from domain.accounts import OpenAccount
from tests.web.console.browser import Browser, Console


def test_pages(owner: Browser) -> None:
    for path in (
        "/console/",
        "/console/accounts",
        "/console/me",
        "/console/tea/",
        "/console/tea/members",
        "/console/tea/members?format=csv",
        "/console/tea/changes",
        "/console/tea/staff",
        "/console/me/factor",
    ):
        answer = owner.get(path)
        assert answer.status_code in (200, 302), (path, answer.text)
        print(path, answer.status_code, len(answer.text))
