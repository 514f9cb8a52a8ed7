package cms

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// The messages in testdata were made by OpenSSL: "cms -sign -nodetach -binary
// -nocerts -outform DER", with -stream in pieces; without -nodetach detached.
func TestWhatWasSignedIsFound(t *testing.T) {
	const want = "Content-Type: text/plain; charset=utf-8\r\n\r\nThe offer stands until Friday, as agreed with Zoë.\r\n"
	for name, signed := range map[string]bool{"signed": true, "signed-in-pieces": true, "encrypted": false, "detached": false} {
		body := file(t, name+".p7m")
		got, err := Content(body)
		if signed && (err != nil || string(got) != want) || !signed && !errors.Is(err, ErrNotSigned) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		for end := range body { // cut off anywhere
			if got, err := Content(body[:end]); err == nil && string(got) != want {
				t.Fatalf("%s, its first %d bytes: %q", name, end, got)
			}
		}
	}
}

func TestHostileNesting(t *testing.T) {
	for name, body := range map[string][]byte{
		"nothing":           nil,
		"deep":              bytes.Repeat([]byte{0x30, 0x80}, 1<<19),
		"a negative length": {0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF, 0x06},
		"a long tag":        {0x3F, 0xFF, 0xFF},
	} {
		if got, err := Content(body); !errors.Is(err, ErrNotSigned) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func FuzzContent(f *testing.F) {
	for _, name := range []string{"signed.p7m", "signed-in-pieces.p7m", "encrypted.p7m", "detached.p7m"} {
		f.Add(file(f, name))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := Content(body)
		if err != nil && got != nil || len(got) > len(body) {
			t.Fatalf("%d bytes of %d, %v", len(got), len(body), err)
		}
	})
}

func file(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
