"""Fills moto with a user, a role, a function and secrets, and from then on has it verify every signature."""

import io
import json
import sys
import urllib.request
import zipfile

import boto3

endpoint = sys.argv[1]


def post(path, body, kind):
    urllib.request.urlopen(urllib.request.Request(endpoint + path, body.encode(), {"Content-Type": kind})).read()


def policy(**statement):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]})


# Functions answer with what they were sent; nothing is run.
post("/moto-api/config", json.dumps({"lambda": {"use_docker": False}}), "application/json")
nobody = {"endpoint_url": endpoint, "region_name": "eu-west-1", "aws_access_key_id": "x", "aws_secret_access_key": "x"}
iam = boto3.client("iam", **nobody)
may = policy(Action=["lambda:*", "sts:AssumeRole", "secretsmanager:GetSecretValue"], Resource="*")
iam.create_user(UserName="gateway")
iam.put_user_policy(UserName="gateway", PolicyName="call", PolicyDocument=may)
key = iam.create_access_key(UserName="gateway")["AccessKey"]
trust = policy(Principal={"AWS": "*"}, Action="sts:AssumeRole")
role = iam.create_role(RoleName="caller", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
iam.put_role_policy(RoleName="caller", PolicyName="call", PolicyDocument=may)
code = io.BytesIO()
with zipfile.ZipFile(code, "w") as archive:
    archive.writestr("f.py", "def handle(event, context): return event")
function = {"Runtime": "python3.12", "Role": role, "Handler": "f.handle", "Code": {"ZipFile": code.getvalue()}}
boto3.client("lambda", **nobody).create_function(FunctionName="echo", Publish=True, **function)
secrets = boto3.client("secretsmanager", **nobody)
secrets.create_secret(Name="team/db", SecretString=json.dumps({"password": "first", "port": 5432}))
secrets.put_secret_value(SecretId="team/db", SecretString=json.dumps({"password": "second", "port": 5432}))
secrets.create_secret(Name="plain", SecretString="p@ss")
secrets.create_secret(Name="binary", SecretBinary=b"of bytes")
secrets.create_secret(Name="encoded", SecretString="czNjcmV0")
post("/moto-api/reset-auth", "0", "text/plain")
print(json.dumps({"key": key["AccessKeyId"], "secret": key["SecretAccessKey"], "role": role}))
