"""A device plugin of the kubelet whose devices are but names: FOLDER RESOURCE ID...

Serves `v1beta1.DevicePlugin` on a socket in FOLDER and registers it with the kubelet there, until its standard input ends.
Written with the C implementation of gRPC: the kubelet of 1.20 names the path of the socket as the authority of its requests,
which Rust's h2 refuses. The few messages are those of Kubernetes' `deviceplugin/v1beta1/api.proto`, written by hand.
"""

import os
import sys
from concurrent import futures
from threading import Event

import grpc


def field(number, value):
    """A field of a message: a string, or a message within it."""
    value = value.encode() if isinstance(value, str) else value
    return bytes([number << 3 | 2]) + varint(len(value)) + value


def varint(number):
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def fields(message):
    """The strings and messages in a message, by number."""
    at = 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at, value, shift = at + 1, value | (byte & 127) << shift, shift + 7
            if byte < 128:
                return value

    while at < len(message):
        tag, length = number(), number()
        yield tag >> 3, message[at : at + length]
        at += length


folder, resource, ids = sys.argv[1], sys.argv[2], sys.argv[3:]
name = f"edgeshift-test-{os.getpid()}.sock"


def options(_request, _context):
    return b""


def list_and_watch(_request, _context):
    yield b"".join(field(1, field(1, device) + field(2, "Healthy")) for device in ids)
    # The list lasts as long as this program.
    Event().wait()


def allocate(request, _context):
    answer = b""
    for _, container in fields(request):
        given = ",".join(device.decode() for _, device in fields(container))
        variable = field(1, "NVIDIA_VISIBLE_DEVICES") + field(2, given)
        answer += field(1, field(1, variable))
    return answer


server = grpc.server(futures.ThreadPoolExecutor(8))
methods = {
    "GetDevicePluginOptions": grpc.unary_unary_rpc_method_handler(options),
    "ListAndWatch": grpc.unary_stream_rpc_method_handler(list_and_watch),
    "Allocate": grpc.unary_unary_rpc_method_handler(allocate),
}
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("v1beta1.DevicePlugin", methods),))
server.add_insecure_port(f"unix:{folder}/{name}")
server.start()
kubelet = grpc.insecure_channel(f"unix:{folder}/kubelet.sock", options=[("grpc.default_authority", "localhost")])
register = kubelet.unary_unary("/v1beta1.Registration/Register")
register(field(1, "v1beta1") + field(2, name) + field(3, resource), timeout=10)
print("registered", flush=True)
sys.stdin.read()
os.remove(f"{folder}/{name}")
# The lists would last for ever.
os._exit(0)
