"""A stand-in for AWS that checks signatures (moto): IAM, STS and EC2."""

import http.client
import urllib.parse
import xml.etree.ElementTree as ElementTree

import harness
from server import Server

SETUP = 3  # requests that are not checked, before there is a key


class Aws(Server):
    name = "aws"

    def argv(self):
        # The folder is named for end_all(); the program makes nothing of arguments behind "-c".
        run = f"import sys; sys.path.insert(0, '{harness.CACHE}/moto'); from moto.server import main; main(sys.argv[2:])"
        return ["/usr/bin/env", f"INITIAL_NO_AUTH_ACTION_COUNT={SETUP}", "PYTHONDONTWRITEBYTECODE=1",
                "/usr/bin/python3", "-c", run, self.dir, "-H", "127.0.0.1", "-p", str(self.port)]

    def ready(self):
        return self.http("GET", "/moto-api/").status == 200

    def user(self, name="solder"):
        """A user who may do everything; returns (access key id, secret access key). Once, and before all else."""
        self._iam("CreateUser", UserName=name)
        key = ElementTree.fromstring(self._iam("CreateAccessKey", UserName=name).body)
        self._iam("PutUserPolicy", UserName=name, PolicyName="all", PolicyDocument=(
            '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}'))
        text = {e.tag.rpartition("}")[2]: e.text for e in key.iter()}
        return text["AccessKeyId"], text["SecretAccessKey"]

    def _iam(self, action, **parameters):
        body = urllib.parse.urlencode({"Action": action, "Version": "2010-05-08", **parameters})
        scope = "AWS4-HMAC-SHA256 Credential=none/20260101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=0"
        a = self.http("POST", "/", body, {"Authorization": scope, "Content-Type": "application/x-www-form-urlencoded"})
        if a.status != 200:
            raise http.client.HTTPException(f"{action}: {a}")
        return a
