package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"parley.im/core/sipedge/uac"
)

// maxBody bounds what send reads from its input.
const maxBody = 64 << 10

// sending is the command line of send.
type sending struct {
	from, to     string
	server       string
	transport    string
	contentType  string
	password     string
	passwordFile string
	config       string
	timeout      time.Duration
}

func newSend() *cobra.Command {
	s := &sending{}
	cmd := &cobra.Command{
		Use:   "send --from SIP-URI TO [TEXT…]",
		Short: "Send one SIP message, as a user would",
		Long: `Send one SIP MESSAGE and print the final answer. The text is what stands after
the address, or what comes on standard input.

The password is that of --password-file, --password or $PARLEY_PASSWORD. At a
loopback address it may stay out: then the account in bridge.toml gives it.

Exit codes: 0 accepted (2xx), 1 refused, 2 wrong command line, 3 no answer.`,
		Example: `  parley send --from sip:alice@127.0.0.1 sip:lobby@127.0.0.1 "hello"
  date | parley send --from sip:cron@pbx.example.com --password-file /run/secrets/cron sip:ops@pbx.example.com`,
		Args: cobra.MinimumNArgs(1),
	}
	f := cmd.Flags()
	f.StringVar(&s.from, "from", "", "who sends: a SIP `URI`")
	f.StringVar(&s.server, "server", "", "`host:port` of the server (default: that of the recipient, port 5060)")
	f.StringVar(&s.transport, "transport", "udp", "udp or tcp")
	f.StringVar(&s.contentType, "content-type", "text/plain;charset=utf-8", "MIME `type` of the text")
	f.StringVar(&s.password, "password", "", "password; others on this machine can see it")
	f.StringVar(&s.passwordFile, "password-file", "", "`file` with the password")
	f.DurationVar(&s.timeout, "timeout", 35*time.Second, "how long to wait for the final answer")
	f.StringVarP(&s.config, "config", "c", defaultConfig, "configuration `file` of a bridge on this machine")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s.to = args[0]
		body, err := textOf(args[1:], cmd.InOrStdin())
		if err != nil {
			return err
		}
		return s.send(cmd, body)
	}
	return cmd
}

// textOf returns the message: the arguments, or else all of in.
func textOf(args []string, in io.Reader) ([]byte, error) {
	if len(args) > 0 {
		return []byte(strings.Join(args, " ")), nil
	}
	body, err := io.ReadAll(io.LimitReader(in, maxBody+1))
	if err != nil {
		return nil, fmt.Errorf("read the text: %w", err)
	}
	if len(body) > maxBody {
		return nil, fmt.Errorf("the text is longer than %d bytes", maxBody)
	}
	return body, nil
}

func (s *sending) send(cmd *cobra.Command, body []byte) error {
	from, err := parseURI(s.from)
	if err != nil {
		return usage("--from: %w", err)
	}
	to, err := parseURI(s.to)
	if err != nil {
		return usage("recipient: %w", err)
	}
	if s.transport != "udp" && s.transport != "tcp" {
		return usage("--transport %s: it is udp or tcp", quote(s.transport))
	}
	if s.server == "" {
		s.server = net.JoinHostPort(to.host, to.portOr("5060"))
	}
	host, _, err := net.SplitHostPort(s.server)
	if err != nil {
		return usage("--server %s: it is host:port, such as 192.0.2.7:5060", quote(s.server))
	}
	password, err := s.findPassword(from, host)
	if err != nil {
		return err
	}
	ctx, release := untilSignalled(cmd.Context(), os.Exit)
	defer release()
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	answer, err := s.exchange(ctx, from.user, password, body)
	if err != nil {
		return &coded{exitUnreachable, fmt.Errorf("no answer from %s by %s: %w", s.server, s.transport, err)}
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%d %s\n", answer.Code, printable(answer.Phrase))
	if answer.Code == 401 && password == "" {
		return &coded{exitFailed, errors.New("the server wants a password: give --password-file or PARLEY_PASSWORD")}
	}
	if answer.Code/100 != 2 {
		return &coded{code: exitFailed}
	}
	return nil
}

// exchange sends the message and returns the final answer.
func (s *sending) exchange(ctx context.Context, user, password string, body []byte) (uac.Response, error) {
	client, err := uac.Dial(ctx, uac.Config{
		Server: s.server, Network: s.transport, From: s.from, User: user, Password: password,
	})
	if err != nil {
		return uac.Response{}, err
	}
	defer client.Close()
	return client.Send(ctx, s.to, s.contentType, body)
}

// printable leaves a phrase from outside readable and harmless.
func printable(phrase string) string {
	if q := quote(phrase); q != `"`+phrase+`"` {
		return q
	}
	return phrase
}
