package main

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"parley.im/core/config"
)

// findPassword returns the sender's password, empty if there is none to find.
// Only a server on this machine is given what stands in bridge.toml.
func (s *sending) findPassword(from sipURI, server string) (string, error) {
	if s.passwordFile != "" {
		b, err := os.ReadFile(s.passwordFile)
		if err != nil {
			return "", fmt.Errorf("password file: %w", err)
		}
		return strings.TrimRight(string(b), "\r\n"), nil
	}
	if s.password != "" {
		return s.password, nil
	}
	if p := os.Getenv("PARLEY_PASSWORD"); p != "" {
		return p, nil
	}
	if !isLoopback(server) {
		return "", nil
	}
	c, _ := config.Load(s.config)
	if c == nil {
		return "", nil // no bridge of ours; the server will say if it wants one
	}
	return accountPassword(c, from), nil
}

func accountPassword(c *config.Config, from sipURI) string {
	if !slices.ContainsFunc(c.SIP.Domains, func(d string) bool { return strings.EqualFold(strings.Trim(d, "[]"), from.host) }) {
		return ""
	}
	for _, a := range c.SIP.Accounts {
		if a.User == from.user {
			return a.Password.Reveal()
		}
	}
	return ""
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}
