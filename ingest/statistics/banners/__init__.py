"""Return what is counted of banners.

questions    read what a request asks
statistics   handle one banner and several
series       clicks by bucket, as they are without `metrics` and `traffic`
metrics      clicks, impressions and the rate, for `metrics` and `traffic`
totals       handle `GET /stats/total`
rankings     handle `GET /stats/top`
"""
