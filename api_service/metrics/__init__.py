"""Prometheus metrics of all workers and of the retrain daemon: counted, kept, summed, shown.

`recorder` counts on a request's path; `flush` writes that to the `worker_file` each second; `page`
shows the sum, with what `training` reads of the retrain daemon.
"""
