package sdktest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"parley.im/plugins/sdk/client"
)

// leastSecret is the length from which a secret is told from a common word.
const leastSecret = 8

func keepsSecrets(ctx context.Context, b *bench) error {
	var settings any
	if err := json.Unmarshal(orEmpty(b.o.Settings), &settings); err != nil {
		return fmt.Errorf("the settings of this test: %w", err)
	}
	secrets := secretsIn("", settings)
	if len(secrets) == 0 {
		return nil
	}
	said := &recorder{}
	b.o.Log = slog.New(slog.NewTextHandler(said, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if err := b.provoke(ctx, said); err != nil {
		return err
	}
	text := said.String()
	for path, secret := range secrets {
		for _, form := range []string{secret, base64.StdEncoding.EncodeToString([]byte(secret)), url.QueryEscape(secret)} {
			if strings.Contains(text, form) {
				return fmt.Errorf("the secret %s stands in its log or in an error", path)
			}
		}
	}
	return nil
}

// provoke gives the connector reasons to log.
func (b *bench) provoke(ctx context.Context, said *recorder) error {
	p, err := b.open(ctx)
	if err != nil {
		return err
	}
	defer p.Kill()
	try := func() {
		for _, text := range append(nasty()[:3], "plain") {
			d, _ := b.message()
			d.Data = []byte(text)
			said.note(deliverShortly(ctx, p, d))
		}
	}
	try()
	if l, ok := b.o.Network.(Limiter); ok {
		lift := l.Limit(pause)
		try()
		lift()
	}
	if k, ok := b.o.Network.(Breaker); ok {
		mend := k.Break()
		try()
		if err := mend(); err != nil {
			return fmt.Errorf("bring the network back: %w", err)
		}
	}
	said.note(knock(ctx, p))
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	return p.Close(ctx)
}

// knock asks at the connector's door for what only friends get.
func knock(ctx context.Context, p *client.Process) error {
	if p.HTTPSocket() == "" {
		return nil
	}
	for _, path := range append(p.Description().Public, "/") {
		q, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://door"+path, strings.NewReader("{"))
		if err != nil {
			return err
		}
		resp, err := door(p).Do(q)
		if err != nil {
			return err
		}
		resp.Body.Close()
	}
	return nil
}

func orEmpty(settings json.RawMessage) json.RawMessage {
	if len(settings) == 0 {
		return json.RawMessage("{}")
	}
	return settings
}

// secretsIn returns the values whose keys say that they are secret, by path.
func secretsIn(path string, v any) map[string]string {
	found := map[string]string{}
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if s, ok := value.(string); ok && isSecret(key) && len(s) >= leastSecret {
				found[strings.TrimPrefix(path+"."+key, ".")] = s
			}
			for p, s := range secretsIn(path+"."+key, value) {
				found[strings.TrimPrefix(p, ".")] = s
			}
		}
	case []any:
		for i, value := range v {
			for p, s := range secretsIn(fmt.Sprintf("%s[%d]", path, i), value) {
				found[p] = s
			}
		}
	}
	return found
}

func isSecret(key string) bool {
	key = strings.ToLower(key)
	return strings.Contains(key, "token") || strings.Contains(key, "password") || strings.Contains(key, "secret")
}

// recorder keeps what a connector says.
type recorder struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *recorder) note(err error) {
	if err != nil {
		fmt.Fprintln(r, err)
	}
}

func (r *recorder) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}
