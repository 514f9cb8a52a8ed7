package main

import (
	"strings"
	"testing"

	"parley.im/plugins/slack/slacktest"
)

// newSlackBridge starts a bridge that is an app in the workspace s, with one
// route more.
func newSlackBridge(t *testing.T, s *slacktest.Server, route string) *bridge {
	t.Helper()
	return newBridge(t, "[plugins.web]", `[plugins.slack]
bot_token = "`+s.BotToken+`"
app_token = "`+s.AppToken+`"
api_url   = "`+s.APIURL()+`"

[plugins.web]`, "[[route]]\nname = \"web\"", "[[route]]\n"+route+"\n\n[[route]]\nname = \"web\"")
}

func TestAPhoneIsToldOfAFailureByTheAddressItDialled(t *testing.T) {
	s := slacktest.New(slacktest.Options{})
	t.Cleanup(s.Close)
	b := newSlackBridge(t, s, `name = "slack"
mode = "direct"
sip  = "sip:slack-{user}@127.0.0.1"
to   = "slack:`+s.Team+`/{user}"`)
	alice := newUDPPhone(b, "alice")
	b.send("alice", "slack-U0NOBODY", "are you there")
	b.says(`msg=failed .*connector=slack|msg=failed connector=slack`)
	text := alice.contains("Not delivered")
	if !strings.Contains(text.Text, "no such person") || !strings.Contains(text.From, "sip:slack-U0NOBODY@127.0.0.1") {
		t.Errorf("alice is told %q by %s", text.Text, text.From)
	}
	b.send("alice", "slack-"+s.Person("Sue"), "hello")
	b.says(`msg=delivered connector=slack`)
	b.send("bob", "alice", "and after that") // orders what came before it
	alice.sees("and after that")
	if got := alice.texts(); len(got) != 2 {
		t.Errorf("of what arrived alice is told, too: %q", got)
	}
}
