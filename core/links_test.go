package core

import (
	"encoding/base64"
	"errors"
	"testing"
	"time"

	"parley.im/core/httpd"
)

func TestLinksAreSignedAndExpire(t *testing.T) {
	key, other := []byte("key"), []byte("other")
	now := time.Unix(1_800_000_000, 0)
	token := linkToken(key, 4711, now.Add(time.Hour))
	if seq, err := readLink(key, token, now); seq != 4711 || err != nil {
		t.Errorf("%d, %v", seq, err)
	}
	if _, err := readLink(key, token, now.Add(time.Hour)); !errors.Is(err, httpd.ErrFileGone) {
		t.Errorf("expired: %v", err)
	}
	if _, err := readLink(other, token, now); !errors.Is(err, httpd.ErrNoFile) {
		t.Errorf("of another store: %v", err)
	}
	raw, _ := base64.RawURLEncoding.DecodeString(token)
	for i := range raw {
		for bit := range 8 {
			b := append([]byte(nil), raw...)
			b[i] ^= 1 << bit
			if seq, err := readLink(key, base64.RawURLEncoding.EncodeToString(b), now); err == nil {
				t.Fatalf("bit %d of byte %d changed: %d", bit, i, seq)
			}
		}
		if seq, err := readLink(key, base64.RawURLEncoding.EncodeToString(raw[:i]), now); err == nil {
			t.Fatalf("cut to %d bytes: %d", i, seq)
		}
	}
}

func FuzzReadLink(f *testing.F) {
	f.Add(linkToken([]byte("key"), 1, time.Unix(1, 0)))
	f.Fuzz(func(t *testing.T, token string) {
		if seq, err := readLink([]byte("secret"), token, time.Unix(0, 0)); err == nil {
			t.Fatalf("%q was guessed: %d", token, seq)
		}
	})
}
