#!/usr/bin/env python3
"""Lists what a peerage daemon serves, by its reflection and with nothing generated, as `grpcurl list` does."""

import argparse
from pathlib import Path

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase


class Bearer(grpc.StreamStreamClientInterceptor):
    """Puts the token on every call."""

    def __init__(self, token):
        self.token = token

    def intercept_stream_stream(self, continuation, details, requests):
        metadata = [*(details.metadata or []), ("authorization", f"Bearer {self.token}")]
        return continuation(details._replace(metadata=metadata), requests)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("place", help="unix:/path/to/socket or ip:port")
    parser.add_argument("--token-file", help="the file with the token, for ip:port")
    options = parser.parse_args()
    settings = [("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(options.place, options=settings) as channel:
        if options.token_file:
            channel = grpc.intercept_channel(channel, Bearer(Path(options.token_file).read_text().strip()))
        told = ProtoReflectionDescriptorDatabase(channel)
        pool = DescriptorPool(told)
        for name in sorted(told.get_services()):
            print(name)
            for method in pool.FindServiceByName(name).methods:
                stream = "stream of " if method.server_streaming else ""
                print(f"  {method.name}({method.input_type.name}) gives {stream}{method.output_type.name}")


if __name__ == "__main__":
    main()
