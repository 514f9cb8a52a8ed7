// Package connectorpython_test tests the example connector in Python, as the
// host starts it. It needs Debian's python3-grpcio, python3-protobuf and
// python3-cryptography.
package connectorpython_test

//go:generate protoc -I ../../plugins/sdk/wire --python_out=. connector.proto

import (
	"encoding/base64"
	"os/exec"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"

	"parley.im/plugins/sdk/sdktest"
	"parley.im/plugins/sdk/sdktest/webhook"
	"parley.im/plugins/sdk/wire"
)

const python = "/usr/bin/python3"

func TestThePythonExampleKeepsTheContract(t *testing.T) {
	n, err := webhook.Listen()
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	sdktest.Run(t, n.Options("./connector.py"))
}

func TestTheGeneratedPythonIsOfTheContract(t *testing.T) {
	cmd := exec.Command(python, "-B", "-c",
		"import base64, connector_pb2; print(base64.b64encode(connector_pb2.DESCRIPTOR.serialized_pb).decode(), end='')")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", cmd, err)
	}
	data, err := base64.StdEncoding.DecodeString(string(out))
	if err != nil {
		t.Fatal(err)
	}
	var got descriptorpb.FileDescriptorProto
	if err := proto.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	want := protodesc.ToFileDescriptorProto(wire.File_connector_proto)
	if !proto.Equal(plain(&got), plain(want)) {
		t.Error("connector_pb2.py was made of another connector.proto; run make generate")
	}
}

// plain leaves out the names in JSON, which only one of the generators writes.
func plain(f *descriptorpb.FileDescriptorProto) *descriptorpb.FileDescriptorProto {
	for _, m := range f.MessageType {
		for _, field := range m.Field {
			field.JsonName = nil
		}
	}
	return f
}
