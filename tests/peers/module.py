"""A module made with Microsoft's azure-iot-device. It connects as IoT Edge's environment says, prints what happens to it as
lines of JSON, and does what it is told on standard input:

    twin | report {"a": 1} | send OUTPUT TEXT | call DEVICE MODULE METHOD | handle | quit

Arguments: the lifetime of its tokens in seconds, and `websockets` where it is to use these.
"""
import json
import logging
import sys
import threading

from azure.iot.device import IoTHubModuleClient, Message, MethodResponse

logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
printing = threading.Lock()


def say(**line):
    with printing:
        print(json.dumps(line), flush=True)


def answer(client, request):
    say(method=request.name, payload=request.payload)
    client.send_method_response(MethodResponse.create_from_method_request(request, 200, {"echo": request.payload}))


def hear(message):
    say(
        input=message.input_name,
        body=message.data.decode(),
        id=message.message_id,
        properties=message.custom_properties,
    )
    # The SDK acknowledges when it hands the message over.


def main():
    ttl = int(sys.argv[1])
    client = IoTHubModuleClient.create_from_edge_environment(
        sastoken_ttl=ttl, websockets="websockets" in sys.argv[2:], connection_retry_interval=1
    )
    client.connect()
    say(connected=client.connected)
    for line in sys.stdin:
        command, _, rest = line.strip().partition(" ")
        if command == "handle":
            client.on_twin_desired_properties_patch_received = lambda patch: say(desired=patch)
            client.on_message_received = hear
            client.on_method_request_received = lambda request: answer(client, request)
            say(handles=True)
        elif command == "twin":
            say(twin=client.get_twin())
        elif command == "report":
            try:
                client.patch_twin_reported_properties(json.loads(rest))
                say(reported=True)
            except Exception as error:  # the status is in the cause alone
                say(reported=False, error=str(error.__cause__))
        elif command == "send":
            output, _, text = rest.partition(" ")
            message = Message(text, content_type="application/json", content_encoding="utf-8", message_id="m 1")
            message.custom_properties["key"] = "é/+"
            client.send_message_to_output(message, output)
            say(sent=output)
        elif command == "call":
            device, module, method = rest.split(" ")
            parameters = {"methodName": method, "payload": {"n": 1}, "responseTimeoutInSeconds": 10}
            say(called=client.invoke_method(parameters, device, module))
        elif command == "quit":
            break
    client.shutdown()
    say(ended=True)


main()
