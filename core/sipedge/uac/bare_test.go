package uac

import (
	"testing"
)

func TestABareServerAnswers202AndIsGoneWhenClosed(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			b, err := StartBare(t.Context(), network, "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			c, err := Dial(t.Context(), Config{Server: b.Addr(), Network: network, From: "sip:ann@127.0.0.1"})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for range 3 {
				if r, err := c.Send(t.Context(), "sip:bob@127.0.0.1", "text/plain", []byte("hello")); err != nil || r.Code != 202 {
					t.Fatalf("send: got %+v, %v; want 202", r, err)
				}
			}
			if err := b.Close(); err != nil {
				t.Error(err)
			}
			again, err := StartBare(t.Context(), network, b.Addr())
			if err != nil {
				t.Fatalf("the address is still taken: %v", err)
			}
			again.Close()
		})
	}
}

func TestABareServerRefusesAnotherNetwork(t *testing.T) {
	if b, err := StartBare(t.Context(), "sctp", "127.0.0.1:0"); err == nil {
		b.Close()
		t.Error("it listens on sctp")
	}
}
