"""What runs `dr` in a cluster: CronJobs, the service, identities and their rights, made from the strategy as `dr plan` reads it.

The files of `static/` are shipped as they are; the rest is rendered. `schedules/` of the repository is the rendering for the
table that ships with dr.
"""
