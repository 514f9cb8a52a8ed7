package main

import (
	"net"
	"strings"
)

// decline registers one of the bridge's accounts at a phone that declines
// every message.
func decline(b *bridge, user string) {
	b.t.Helper()
	s := b.phone(user, "u1")
	s.register()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: s.local})
	if err != nil {
		b.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 65535)
		for {
			n, from, err := conn.ReadFromUDP(buf)
			if err != nil {
				return
			}
			head, _, _ := strings.Cut(string(buf[:n]), "\r\n\r\n")
			if strings.HasPrefix(head, "MESSAGE ") {
				_, _ = conn.WriteToUDP(answerTo(head, "603 Decline"), from)
			}
		}
	}()
	b.t.Cleanup(func() { conn.Close(); <-done })
}
