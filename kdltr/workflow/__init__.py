"""Running a profile with Snakemake: what is out of date, one writer at a time, publishing.

`plan` reads `params/<profile>/workflow.yaml` for the Snakefile, `keys` decides by content
what is out of date, `processes` holds the lock and ends orphans, `engine` runs snakemake,
`parameters` checks what a notebook is given, `notebook` runs it in a `home` that can be written,
`follower` says how far it is, `tidy` publishes and cleans.
What a time box needs without Snakemake: `limited`, a process that has so long, and `pieces`, files
in small parts.
`kdltr run`, `notebook`, `publish` and `clean` are the command line.
"""
