"""Uploads of pictures and other files."""

import pytest
import requests
from wechatpy.exceptions import WeChatClientException

from tests.simulator.conftest import Sim, png


def test_wechatpy_uploads_and_downloads_a_picture(sim: Sim) -> None:
    media, content = sim.client().media, png()
    uploaded = media.upload("image", ("poster.png", content))
    assert uploaded["type"] == "image"
    answer = media.download(uploaded["media_id"])
    assert answer.content == content
    assert 'filename="poster.png"' in answer.headers["Content-Disposition"]


def test_an_upload_is_gone_after_three_days(sim: Sim) -> None:
    media = sim.client().media
    media_id = media.upload("image", ("poster.png", png()))["media_id"]
    sim.advance(3 * 86_400 + 1)
    with pytest.raises(WeChatClientException) as refused:
        sim.client().media.download(media_id)
    assert refused.value.errcode == 40007


BAD_MEDIA = [
    ("poem", png(), 40004),
    ("image", b"%PDF-1.7", 40005),
    ("voice", png(), 40005),
    ("image", b"", 44001),
    ("thumb", b"\xff\xd8\xff" + b"0" * 65_536, 40006),
]


@pytest.mark.parametrize(("kind", "content", "errcode"), BAD_MEDIA)
def test_a_wrong_upload_is_refused(sim: Sim, kind: str, content: bytes, errcode: int) -> None:
    with pytest.raises(WeChatClientException) as refused:
        sim.client().media.upload(kind, ("file", content))
    assert refused.value.errcode == errcode


def test_an_upload_without_a_file_is_refused(sim: Sim) -> None:
    answer = sim.api("/cgi-bin/media/upload", {}, access_token=sim.access_token(), type="image")
    assert answer["errcode"] == 41005


def test_a_picture_for_articles_gets_an_address_that_works(sim: Sim) -> None:
    url = sim.client().media.upload_mass_image(("a.png", png()))
    assert requests.get(url, timeout=10).content == png()
