"""A service made with Microsoft's azure-iot-hub; prints the results as one JSON value.

    service.py DEVICE MODULE twin
    service.py DEVICE MODULE desire PATCH [ETAG]
    service.py DEVICE MODULE call METHOD PAYLOAD [METHOD PAYLOAD …]

PATCH and PAYLOAD are JSON. `call` prints a list with `status` and `payload` of each method, or `error` with the HTTP status
where there is no answer. IOTHUB_CONNECTION_STRING says where, REQUESTS_CA_BUNDLE whom to trust.
"""
import json
import os
import sys

from azure.iot.hub import IoTHubRegistryManager
from azure.iot.hub.models import CloudToDeviceMethod, Twin, TwinProperties
from msrest.exceptions import HttpOperationError


def shown(twin):
    properties = {"desired": twin.properties.desired, "reported": twin.properties.reported}
    return {"device": twin.device_id, "module": twin.module_id, "etag": twin.etag, "properties": properties}


def call(manager, device, module, method, payload):
    request = CloudToDeviceMethod(method_name=method, payload=json.loads(payload), response_timeout_in_seconds=30)
    try:
        result = manager.invoke_device_module_method(device, module, request)
    except HttpOperationError as error:
        return {"method": method, "error": error.response.status_code, "text": error.response.text}
    return {"method": method, "status": result.status, "payload": result.payload}


def main():
    manager = IoTHubRegistryManager.from_connection_string(os.environ["IOTHUB_CONNECTION_STRING"])
    device, module, command, *rest = sys.argv[1:]
    if command == "call":
        result = [call(manager, device, module, *pair) for pair in zip(rest[::2], rest[1::2])]
    else:
        try:
            if command == "twin":
                twin = manager.get_module_twin(device, module)
            elif command == "desire":
                patch = Twin(properties=TwinProperties(desired=json.loads(rest[0])))
                twin = manager.update_module_twin(device, module, patch, *rest[1:2])
            else:
                sys.exit(f"service.py: there is no command {command}")
            result = shown(twin)
        except HttpOperationError as error:
            result = {"error": error.response.status_code, "text": error.response.text}
    print(json.dumps(result))


main()
