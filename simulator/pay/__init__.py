"""api.mch.weixin.qq.com: the part of WeChat Pay by which merchants send money to people (商家转账)."""
