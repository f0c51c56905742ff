def throughput(r, p):
    pass
