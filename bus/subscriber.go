package bus

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/nats-io/nkeys"
)

// PublicSubjects are all that a subscriber may read live: the events of the
// four streams, and signals.
const PublicSubjects = "parley.>"

// A Subscriber is a program outside Parley that may read the bus: live, and
// again from the streams. It can write nothing.
type Subscriber struct {
	Name     string   // lower-case letters, digits and -, to 32
	Key      string   // its public user nkey, "U…"; the server knows it by this
	Subjects []string // public subjects it may read; none means PublicSubjects
}

var (
	subscriberName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)
	publicToken    = regexp.MustCompile(`^([A-Za-z0-9_-]+|\*)$`)
)

// CheckSubscriberName says what is wrong with the name of a subscriber.
func CheckSubscriberName(name string) error {
	if !subscriberName.MatchString(name) {
		return fmt.Errorf("%q; give lower-case letters, digits and -, 32 at most", name)
	}
	return nil
}

// CheckSubscriberKey says what is wrong with the public key of a subscriber.
// It never repeats what it was given: that may be a seed.
func CheckSubscriberKey(key string) error {
	switch {
	case key == "":
		return errors.New("missing; make a pair with \"parley bus key FILE\" and give the public one, \"U…\"")
	case strings.HasPrefix(key, "S"):
		return errors.New("is a secret seed; give the public key, which begins with U, and make a new pair if others could read this file")
	case !nkeys.IsValidPublicUserKey(key):
		return errors.New("is no public user nkey; give the one that \"parley bus key FILE\" printed, \"U…\"")
	}
	return nil
}

// CheckPublicSubject says what is wrong with a subject that a subscriber is to
// read.
func CheckPublicSubject(subject string) error {
	tokens := strings.Split(subject, ".")
	if len(tokens) < 2 || tokens[0] != "parley" {
		return fmt.Errorf("%q is no public subject; give one such as \"parley.inbound.>\"", subject)
	}
	for i, t := range tokens {
		if !publicToken.MatchString(t) && (t != ">" || i != len(tokens)-1) {
			return fmt.Errorf("%q is no subject; between dots stand letters, digits, - and _, or *, and > at the end", subject)
		}
	}
	return nil
}

// NewSubscriberKey makes a key pair: the seed is the subscriber's secret, the
// public key goes into the configuration.
func NewSubscriberKey() (seed []byte, public string, err error) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return nil, "", err
	}
	if public, err = pair.PublicKey(); err != nil {
		return nil, "", err
	}
	seed, err = pair.Seed()
	return seed, public, err
}

// checkSubscribers says what is wrong with the first of list that is not in
// order. Keys matter only to a server of our own that listens.
func checkSubscribers(list []Subscriber, keys bool) error {
	seen := map[string]bool{}
	for _, s := range list {
		err := s.check()
		if err == nil && keys {
			err = CheckSubscriberKey(s.Key)
		}
		if err == nil && (seen[s.Name] || keys && seen[s.Key]) {
			err = errors.New("its name or its key is that of another")
		}
		if err != nil {
			return fmt.Errorf("subscriber %q: %w", s.Name, err)
		}
		seen[s.Name], seen[s.Key] = true, true
	}
	return nil
}

func (s Subscriber) check() error {
	if err := CheckSubscriberName(s.Name); err != nil {
		return fmt.Errorf("name: %w", err)
	}
	for _, subject := range s.Subjects {
		if err := CheckPublicSubject(subject); err != nil {
			return fmt.Errorf("subject: %w", err)
		}
	}
	return nil
}

// subjects returns the public subjects that s may read.
func (s Subscriber) subjects() []string {
	if len(s.Subjects) == 0 {
		return []string{PublicSubjects}
	}
	return s.Subjects
}

// may tells whether everything that matches a public subject may be read by s.
func (s Subscriber) may(subject string) bool {
	return slices.ContainsFunc(s.subjects(), func(allowed string) bool { return covers(allowed, subject) })
}

// covers tells whether all that matches subject, which may have wildcards,
// matches pattern, too.
func covers(pattern, subject string) bool {
	p, s := strings.Split(pattern, "."), strings.Split(subject, ".")
	for i, t := range p {
		switch {
		case i >= len(s):
			return false
		case t == ">":
			return true
		case s[i] == ">" || t != "*" && t != s[i]:
			return false
		}
	}
	return len(p) == len(s)
}

// inbox returns what the subjects begin with on which s takes answers.
func (s Subscriber) inbox() string { return "_INBOX_" + s.Name }

// Permissions returns the subscriber as an entry of "users" in the
// configuration of a NATS server, which grants it exactly what it needs. It
// may send nothing to JetStream itself: a request there can name any subject
// for the answer, and the server would write on it. So it asks Parley, see
// replay.
func (s Subscriber) Permissions() string {
	read := append(slices.Clone(s.subjects()), s.inbox()+".>")
	var ask []string
	for _, stream := range Streams() {
		for _, verb := range replayVerbs {
			ask = append(ask, strings.Join([]string{replayPrefix, s.Name, verb.api, string(stream), verb.rest}, "."))
		}
	}
	for i := range ask {
		ask[i] = strings.TrimSuffix(ask[i], ".")
	}
	return fmt.Sprintf("{ nkey: %s, permissions: {\n  subscribe: { allow: [%s] }\n  publish: { allow: [\n    %s\n  ] }\n} }",
		s.Key, quoted(read, ", "), quoted(ask, "\n    "))
}

func quoted(list []string, separator string) string {
	q := make([]string, len(list))
	for i, s := range list {
		q[i] = fmt.Sprintf("%q", s)
	}
	return strings.Join(q, separator)
}
