"""The workflow around Snakemake: what runs when, one writer per profile, publishing.

`plan` reads `params/<profile>/workflow.yaml` for the Snakefile, `keys` decides by content
what is out of date, `processes` holds the lock and ends orphans, `engine` runs snakemake,
`tidy` publishes and cleans. `kdltr run`, `publish` and `clean` are the command line.
"""
