#!/usr/bin/env bash
# An exception inside of `with … open(…) as file` leaves what was written until then as a finished object in the bucket with
# s3fs 2026.9.0 and with pyarrow 26.0.1: readers see half a file under its final name. obstore 0.12.1 leaves nothing. And
# s3fs's mode "xb" (create, never replace) refuses an object that exists only if something is written: an empty one, such as
# a lock, replaces it without an error. Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    s3fs==2026.9.0 pyarrow==26.0.1 obstore==0.12.1 "moto[s3,server]==5.2.5" \
    boto3==1.43.117 botocore==1.43.117 aiobotocore==3.10.0
export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION=us-east-1
"$folder/venv/bin/python" - 2>"$folder/log" <<'PYTHON' || { tail -3 "$folder/log"; exit 1; }
import sys
from contextlib import suppress
from importlib.metadata import version

import boto3
import obstore
import s3fs
from moto.server import ThreadedMotoServer
from obstore.store import S3Store
from pyarrow import fs

print(*(f"{name} {version(name)}" for name in ("s3fs", "pyarrow", "obstore", "moto")))
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
server.start()
address = "{}:{}".format(*server.get_host_and_port())
client = boto3.client("s3", endpoint_url=f"http://{address}")
client.create_bucket(Bucket="lake")
by_s3fs = s3fs.S3FileSystem(endpoint_url=f"http://{address}")
by_arrow = fs.S3FileSystem(endpoint_override=address, scheme="http")
store = S3Store("lake", endpoint=f"http://{address}", client_options={"allow_http": True})
for open_file in (
    lambda: by_s3fs.open("lake/s3fs.csv", "wb"),
    lambda: by_arrow.open_output_stream("lake/pyarrow.csv"),
    lambda: obstore.open_writer(store, "obstore.csv"),
):
    with suppress(ZeroDivisionError), open_file() as file:
        file.write(b"id,amount\n1,")
        file.write(str(1 // 0).encode())
half = {item["Key"]: item["Size"] for item in client.list_objects_v2(Bucket="lake").get("Contents", [])}
print("after an exception:", half)
created = {}
for content in (b"second", b""):
    client.put_object(Bucket="lake", Key="lock", Body=b"first")
    try:
        with by_s3fs.open("lake/lock", "xb") as file:
            file.write(content)
        created[content] = client.get_object(Bucket="lake", Key="lock")["Body"].read()
    except FileExistsError as error:
        created[content] = type(error).__name__
print('mode "xb" of s3fs over b"first", by what is written:', created)
server.stop()
right = half == {"s3fs.csv": 12, "pyarrow.csv": 12} and created == {b"second": "FileExistsError", b"": b""}
sys.exit(0 if right else 1)
PYTHON
