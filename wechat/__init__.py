"""The one door to WeChat's official-account API.

Give it an AppID, a way to read the AppSecret and (optionally) a Redis, and it keeps the token,
respects the quotas, bounds every wait and every retry, and answers with small typed objects or with
an error that says whether to try again. It knows nothing of the program around it.
"""
