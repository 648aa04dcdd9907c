"""A fake WeChat that speaks HTTP and XML, for people who build official accounts without having one.

It knows nothing of the server it talks to: it answers the platform's own paths, pushes signed XML to a
callback address, and lets people (or tests) play the followers through `/_sim/`.
"""
