package email

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"parley.im/plugins/sdk"
)

// schema is the JSON Schema of the connector's table in bridge.toml.
const schema = `{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "title": "electronic mail",
  "type": "object",
  "additionalProperties": false,
  "required": ["address", "smtp"],
  "dependentRequired": {"sip_domain": ["domain"]},
  "if": {"required": ["trust"], "properties": {"trust": {"const": "dmarc"}}}, "then": {"required": ["authserv_id"]},
  "properties": {
    "address": {
      "description": "the bridge's own mail address; mail of desks and rooms comes from it, with +token before the @",
      "type": "string", "pattern": "^[A-Za-z0-9._=~-]{1,28}@[^@\\s<>]+$"
    },
    "domain": {
      "description": "a mail domain whose every address is the bridge's: a SIP user alice then writes as alice@domain",
      "type": "string", "maxLength": 253, "default": ""
    },
    "sip_domain": {
      "description": "the SIP domain whose users have an address in domain: alice@domain is sip:alice@sip_domain",
      "type": "string", "maxLength": 253, "default": ""
    },
    "trust": {
      "description": "who may write without answering a mail: nobody (token), whom a DMARC result of authserv_id vouches for (dmarc), or everybody that the server in front of this one lets in (relay)",
      "enum": ["token", "dmarc", "relay"], "default": "token"
    },
    "authserv_id": {
      "description": "name of the server whose Authentication-Results are believed, such as mx.example.com",
      "type": "string", "maxLength": 253, "default": ""
    },
    "smtp": {
      "description": "where mail is handed in",
      "type": "object", "additionalProperties": false, "required": ["address", "tls"], "dependentRequired": {"password": ["user"]},
      "properties": {
        "address": {"description": "host:port", "type": "string", "pattern": "^.+:[0-9]+$"},
        "tls": {"description": "implicit (port 465), starttls (port 587), or none for a relay on this machine", "enum": ["implicit", "starttls", "none"]},
        "user": {"type": "string", "maxLength": 320, "default": ""},
        "password": {"type": "string", "maxLength": 1024, "default": "", "writeOnly": true},
        "ca": {"description": "PEM file of the authority that signed the server's certificate, if it is none of the system's", "type": "string", "default": ""}
      }
    },
    "listen": {
      "description": "a mail server hands over what comes in",
      "type": "object", "additionalProperties": false, "required": ["address", "protocol"], "dependentRequired": {"cert": ["key"], "key": ["cert"]},
      "properties": {
        "address": {"description": "host:port, or unix:/path/of/socket", "type": "string", "pattern": "^(unix:.+|.*:[0-9]+)$"},
        "protocol": {"enum": ["lmtp", "smtp"]},
        "cert": {"description": "PEM file; with key, STARTTLS is offered", "type": "string", "default": ""},
        "key": {"type": "string", "default": ""},
        "max_size": {"description": "largest mail in bytes", "type": "integer", "minimum": 65536, "maximum": 104857600, "default": 10485760}
      }
    },
    "imap": {
      "description": "a mailbox from which mail is fetched",
      "type": "object", "additionalProperties": false, "required": ["address", "user", "password", "tls"],
      "properties": {
        "address": {"description": "host:port", "type": "string", "pattern": "^.+:[0-9]+$"},
        "tls": {"description": "implicit (port 993), starttls (port 143), or none for a server on this machine", "enum": ["implicit", "starttls", "none"]},
        "user": {"type": "string", "minLength": 1, "maxLength": 320},
        "password": {"type": "string", "maxLength": 1024, "writeOnly": true},
        "ca": {"description": "PEM file of the authority that signed the server's certificate", "type": "string", "default": ""},
        "mailbox": {"type": "string", "minLength": 1, "default": "INBOX"},
        "max_size": {"description": "largest mail in bytes", "type": "integer", "minimum": 65536, "maximum": 104857600, "default": 10485760}
      }
    }
  }
}`

// The ways to trust mail that answers nothing.
const (
	trustToken = "token"
	trustDMARC = "dmarc"
	trustRelay = "relay"
)

const defaultMaxSize = 10 << 20

type settings struct {
	Address    string `json:"address"`
	Domain     string `json:"domain"`
	SIPDomain  string `json:"sip_domain"`
	Trust      string `json:"trust"`
	AuthservID string `json:"authserv_id"`

	SMTP   *server   `json:"smtp"`
	Listen *listenOn `json:"listen"`
	IMAP   *mailbox  `json:"imap"`
}

// server is one that the connector connects to.
type server struct {
	Address  string `json:"address"`
	TLS      string `json:"tls"`
	User     string `json:"user"`
	Password string `json:"password"`
	CA       string `json:"ca"`
}

type listenOn struct {
	Address  string `json:"address"`
	Protocol string `json:"protocol"`
	Cert     string `json:"cert"`
	Key      string `json:"key"`
	MaxSize  int64  `json:"max_size"`
}

type mailbox struct {
	server
	Mailbox string `json:"mailbox"`
	MaxSize int64  `json:"max_size"`
}

// readSettings fills in the defaults and checks what the schema can't say.
func readSettings(s sdk.Settings) (settings, error) {
	set := settings{Trust: trustToken}
	if err := json.Unmarshal(s.JSON, &set); err != nil {
		return set, fmt.Errorf("settings: %w", err)
	}
	if set.SMTP == nil {
		return set, errors.New("settings: smtp: missing; say where mail is handed in")
	}
	if set.Listen != nil && set.Listen.MaxSize == 0 {
		set.Listen.MaxSize = defaultMaxSize
	}
	if set.IMAP != nil && set.IMAP.MaxSize == 0 {
		set.IMAP.MaxSize = defaultMaxSize
	}
	if set.IMAP != nil && set.IMAP.Mailbox == "" {
		set.IMAP.Mailbox = "INBOX"
	}
	return set, errors.Join(set.checkNames(), set.checkServers())
}

func (s settings) checkNames() error {
	_, own, ok := splitAddress(s.Address)
	switch {
	case !ok:
		return fmt.Errorf("settings: address: %q is no mail address; give one such as parley@bridge.example.com", s.Address)
	case s.Domain != "" && asciiDomain(s.Domain) == "":
		return fmt.Errorf("settings: domain: %q is no domain", s.Domain)
	case s.Domain != "" && asciiDomain(s.Domain) != asciiDomain(own):
		return fmt.Errorf("settings: address: %q is not in domain %q; give one that is", s.Address, s.Domain)
	case s.SIPDomain != "" && s.Domain == "":
		return errors.New("settings: sip_domain: of no use without domain")
	case s.Trust == trustDMARC && s.AuthservID == "":
		return errors.New(`settings: authserv_id: missing; trust = "dmarc" needs the name of the server whose results are believed`)
	}
	return nil
}

func (s settings) checkServers() error {
	err := checkServer("smtp", *s.SMTP)
	if s.IMAP != nil {
		err = errors.Join(err, checkServer("imap", s.IMAP.server))
	}
	if l := s.Listen; l != nil && (l.Cert == "") != (l.Key == "") {
		err = errors.Join(err, errors.New("settings: listen: give both cert and key, or neither"))
	}
	return err
}

// checkServer lets a connection in clear only go to this machine, and for SMTP
// never with a password (RFC 8314).
func checkServer(name string, s server) error {
	host, _, err := net.SplitHostPort(s.Address)
	switch {
	case err != nil:
		return fmt.Errorf("settings: %s.address: %w", name, err)
	case s.TLS == "none" && !isLoopback(host):
		return fmt.Errorf(`settings: %s.tls: "none" is for a server on this machine only; %s is another`, name, host)
	case s.TLS == "none" && s.User != "" && name == "smtp":
		return fmt.Errorf("settings: %s.user: a password is not sent in clear; use tls, or no user", name)
	case s.User == "" && s.Password != "":
		return fmt.Errorf("settings: %s.user: missing beside a password", name)
	}
	return nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// tlsConfig returns how to check the server's certificate.
func (s server) tlsConfig() (*tls.Config, error) {
	host, _, err := net.SplitHostPort(s.Address)
	if err != nil {
		return nil, err
	}
	conf := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if s.CA == "" {
		return conf, nil
	}
	pem, err := os.ReadFile(s.CA)
	if err != nil {
		return nil, fmt.Errorf("settings: ca: %w", err)
	}
	conf.RootCAs = x509.NewCertPool()
	if !conf.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("settings: ca: no certificate in %s", s.CA)
	}
	return conf, nil
}
