"""The paths of api.weixin.qq.com and mp.weixin.qq.com, one module per noun."""
