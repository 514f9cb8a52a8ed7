package main

import (
	"bytes"
	"os"
	"slices"
	"testing"

	"parley.im/plugins/sdk/sdktest"
	"parley.im/plugins/sdk/sdktest/webhook"
)

// TestMain is the connector when the suite has started this program as one.
func TestMain(m *testing.M) {
	if slices.Equal(os.Args[1:], []string{"serve"}) {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestTheGoExampleKeepsTheContract(t *testing.T) {
	n, err := webhook.Listen()
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	sdktest.Run(t, n.Options(os.Args[0], "serve"))
}

func TestTheGoExampleFitsOnAScreenOrTwo(t *testing.T) {
	data, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	if lines := bytes.Count(data, []byte("\n")); lines > 100 {
		t.Errorf("main.go has %d lines; authors were promised at most 100", lines)
	}
}
