package imdn

import (
	"slices"
	"strings"
	"testing"
	"time"

	"parley.im/plugins/content/cpim"
)

func TestWhatASenderAsksForIsRead(t *testing.T) {
	for name, c := range map[string]struct {
		head string
		id   string
		asks []Ask
	}{
		"both":              {"NS: imdn <urn:ietf:params:imdn>\nimdn.Message-ID: a1\nimdn.Disposition-Notification: positive-delivery, DISPLAY;x=y\n", "a1", []Ask{Positive, Display}},
		"another prefix":    {"NS: i <urn:ietf:params:imdn>\ni.Message-ID: a1\ni.Disposition-Notification: negative-delivery\ni.Disposition-Notification: processing, later\n", "a1", []Ask{Negative, Processing}},
		"no name space":     {"imdn.Message-ID: a1\nimdn.Disposition-Notification: display\n", "", nil},
		"no id":             {"NS: imdn <urn:ietf:params:imdn>\nimdn.Disposition-Notification: display\n", "", nil},
		"an id with spaces": {"NS: imdn <urn:ietf:params:imdn>\nimdn.Message-ID: a 1\n", "", nil},
		"nothing asked":     {"NS: imdn <urn:ietf:params:imdn>\nimdn.Message-ID: a1\n", "a1", nil},
	} {
		m, err := cpim.Parse([]byte(c.head + "\n\n"))
		if err != nil {
			t.Fatal(err)
		}
		if id, asks := Request(m); id != c.id || !slices.Equal(asks, c.asks) {
			t.Errorf("%s: got %q, %q", name, id, asks)
		}
	}
}

func TestWhatIsAskedIsUnderstood(t *testing.T) {
	m := cpim.Message{Headers: Headers("id-1", Positive, Display)}
	if id, asks := Request(m); id != "id-1" || !slices.Equal(asks, []Ask{Positive, Display}) {
		t.Errorf("got %q, %q", id, asks)
	}
	m = cpim.Message{Headers: Headers("id-2")}
	if id, asks := Request(m); id != "id-2" || asks != nil {
		t.Errorf("got %q, %q", id, asks)
	}
}

func TestANotificationIsReadAgain(t *testing.T) {
	for kind, list := range statuses {
		for _, status := range list {
			n := Notification{
				MessageID: "<34&jk>", DateTime: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
				Recipient: "sip:bob@example.com", Original: "im:bob@example.com", Kind: kind, Status: status,
			}
			got, err := Parse(n.XML())
			if err != nil || got != n {
				t.Errorf("%s: got %+v, %v", n.XML(), got, err)
			}
		}
	}
}

const document = `<?xml version="1.0" encoding="UTF-8"?>
<imdn xmlns="urn:ietf:params:xml:ns:imdn" xmlns:x="urn:x">
  <message-id>34jk324j</message-id>
  <datetime>2008-04-04T12:16:49-05:00</datetime>
  <x:more><x:deep>words</x:deep></x:more>
  <display-notification>
    <status><displayed/></status>
  </display-notification>
</imdn>`

func TestExtensionsArePassedOver(t *testing.T) {
	n, err := Parse([]byte(document))
	if err != nil || n.MessageID != "34jk324j" || n.Kind != Displaying || n.Status != Displayed || n.DateTime.Unix() != 1207329409 {
		t.Errorf("got %+v, %v", n, err)
	}
}

func TestWhatIsNoNotificationIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":             "",
		"not XML":             "hello",
		"another element":     `<imdm xmlns="urn:ietf:params:xml:ns:imdn"/>`,
		"no name space":       strings.Replace(document, ` xmlns="urn:ietf:params:xml:ns:imdn"`, "", 1),
		"document type":       `<!DOCTYPE imdn [<!ENTITY a "b">]>` + strings.TrimPrefix(document, `<?xml version="1.0" encoding="UTF-8"?>`),
		"unknown entity":      strings.Replace(document, "34jk324j", "&a;", 1),
		"no id":               strings.Replace(document, "34jk324j", "", 1),
		"a long id":           strings.Replace(document, "34jk324j", strings.Repeat("x", MaxID+1), 1),
		"no status":           strings.Replace(document, "<displayed/>", "", 1),
		"status of a kind":    strings.Replace(document, "<displayed/>", "<delivered/>", 1),
		"two statuses":        strings.Replace(document, "<displayed/>", "<displayed/><error/>", 1),
		"a second document":   document + document,
		"cut off":             document[:len(document)-3],
		"deep":                strings.Replace(document, "words", strings.Repeat("<a>", 20)+strings.Repeat("</a>", 20), 1),
		"large":               strings.Replace(document, "words", strings.Repeat("x", MaxSize), 1),
		"status of no kind":   strings.Replace(strings.Replace(document, "<display-notification>", "<x-notification>", 1), "</display-notification>", "</x-notification>", 1),
		"something before it": "x" + `<a/>` + document,
	} {
		if n, err := Parse([]byte(text)); err == nil {
			t.Errorf("%s: got %+v", name, n)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(document))
	f.Add(Notification{MessageID: "a", Kind: Delivery, Status: Failed}.XML())
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := Parse(data)
		if err != nil {
			return
		}
		again, err := Parse(n.XML())
		if err != nil || again.MessageID != n.MessageID || again.Kind != n.Kind || again.Status != n.Status {
			t.Fatalf("%+v was written as %s: %+v, %v", n, n.XML(), again, err)
		}
	})
}
