# Which notebook, with which parameters, makes which result from what. The runs of a profile are
# listed in params/<profile>/workflow.yaml; kdltr/workflow/written.py explains that file.
#
# Start it with `make quick` or `kdltr run quick`, which hold the profile's lock and end orphans.
# What is out of date is decided by `params.key`, a digest of parameters, code and inputs
# (kdltr/workflow/keys.py); file times mean nothing in a clone, hence `ancient`. Checkpoints and
# partial notebooks are no declared outputs: Snakemake deletes those of a job that fails.

import shlex
import sys
from pathlib import Path

from kdltr.workflow.plan import load_plan

# "params/2024" is a text, where Snakemake takes "2024" for a number.
plan = load_plan(Path(str(config.get("profile", "quick"))).name)
python = sys.executable


rule all:
    input:
        plan.targets,


for run in plan.runs:

    rule:
        name:
            f"notebook_{run.name}"
        input:
            notebook=ancient(run.notebook),
            parameters=[ancient(path) for path in run.parameter_files],
            files=[ancient(path) for path in run.inputs],
            needed=list(run.needed),
        output:
            run.outputs,
        params:
            key=run.key,
            files=shlex.join(part for path in run.parameter_files for part in ("-f", path)),
            seed="" if run.seed is None else f"-p seeds '[{run.seed}]'",
            label=run.label,
            name=run.name,
            folder=plan.folder,
            executed=run.executed,
            threads=run.threads,  # not Snakemake's, cut to --cores: results depend on it
        priority: len(plan.runs) - plan.runs.index(run)
        threads: workflow.cores if run.alone else run.threads
        resources:
            gpu=run.gpu,
        shell:
            "exec {python:q} -m kdltr notebook {input.notebook:q} {params.executed:q}"
            " {params.files} {params.seed} -p output_dir {params.folder:q} -p run {params.name:q}"
            " --label {params.label:q} --threads {params.threads}"
            " --record {params.folder:q}/.workflow/jobs/{params.name:q}.json"


if plan.report:

    rule report:
        input:
            plan.results,
        output:
            plan.report,
        params:
            key=plan.report_key,
        shell:
            "exec {python:q} -m kdltr report {plan.profile:q}"
