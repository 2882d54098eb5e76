#!/usr/bin/python3
"""Prints what `podman kube play` is to run: the Deployment of deploy/kubernetes as it stands, with one
replica, in the machine's own network at the given ports.

    tests/container/kube.py IMAGE GRPC_PORT METRICS_PORT SECRETS

SECRETS is a folder with one for each Secret: podman 4.3 mounts Secrets as they are encoded.
"""
import pathlib
import sys

import yaml

BASE = pathlib.Path(__file__).resolve().parents[2] / "deploy" / "kubernetes" / "base"


def main():
    image, grpc, metrics, secrets = sys.argv[1:]
    deployment = next(yaml.safe_load_all((BASE / "tlind.yaml").read_text()))
    deployment["spec"]["replicas"] = 1
    pod = deployment["spec"]["template"]["spec"]
    for volume in pod["volumes"]:
        name = volume.pop("secret")["secretName"]
        volume["hostPath"] = {"path": f"{secrets}/{name}", "type": "Directory"}
    container = pod["containers"][0]
    container["image"] = image
    del container["ports"]
    container["args"] += [f"--listen=127.0.0.1:{grpc}", f"--metrics_listen=127.0.0.1:{metrics}"]
    print(yaml.safe_dump(deployment))


if __name__ == "__main__":
    main()
