package main

import (
	"encoding/xml"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The bridge.toml beside each example PBX is one that Parley takes.
func TestTheExamplesOfPBXsAreTaken(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../examples/pbx/*/bridge.toml")
	if err != nil || len(files) == 0 {
		t.Fatal("no examples", err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		config := write(t, t.TempDir(), "bridge.toml", string(text))
		if out, err := exec.Command(parley, "check", "--config", config).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", f, err, out)
		}
	}
}

// What pjsip.conf names is there: the objects in it, the contexts and endpoints
// of extensions.conf.
func TestTheAsteriskExampleNamesWhatIsThere(t *testing.T) {
	t.Parallel()
	conf, plan := "../../examples/pbx/asterisk/pjsip.conf", "../../examples/pbx/asterisk/extensions.conf"
	contexts, is := map[string]bool{}, map[string]bool{} // is: "endpoint carol"
	for _, s := range sections(t, plan) {
		contexts[s.name] = true
	}
	objects := sections(t, conf)
	for _, s := range objects {
		if s.option["type"] == "" {
			t.Errorf("%s: [%s] has no type", conf, s.name)
		}
		is[s.option["type"]+" "+s.name] = true
	}
	for _, s := range objects {
		for option, kind := range map[string]string{"auth": "auth", "aors": "aor", "endpoint": "endpoint", "transport": "transport"} {
			if name := s.option[option]; name != "" && !is[kind+" "+name] {
				t.Errorf("%s: [%s] names the %s %q, which is not there", conf, s.name, kind, name)
			}
		}
		for _, option := range []string{"context", "message_context"} {
			if name := s.option[option]; name != "" && !contexts[name] {
				t.Errorf("%s has no context %q of [%s]", plan, name, s.name)
			}
		}
	}
	for _, m := range regexp.MustCompile(`MessageSend\(pjsip:([a-z]+)`).FindAllStringSubmatch(text(t, plan), -1) {
		if !is["endpoint "+m[1]] {
			t.Errorf("%s sends by the endpoint %q, which is not there", plan, m[1])
		}
	}
}

type section struct {
	name   string
	option map[string]string
}

// sections reads a file of Asterisk, whose comments begin with an unescaped
// semicolon.
func sections(t *testing.T, file string) (all []section) {
	t.Helper()
	comment := regexp.MustCompile(`(^|[^\\]);.*`)
	for line := range strings.Lines(text(t, file)) {
		line = strings.TrimSpace(comment.ReplaceAllString(strings.TrimRight(line, "\n"), "$1"))
		name, value, found := strings.Cut(line, "=")
		switch {
		case line == "":
		case strings.HasPrefix(line, "["):
			all = append(all, section{strings.Trim(line, "[]"), map[string]string{}})
		case !found || len(all) == 0:
			t.Errorf("%s: %q is no option of a section", file, line)
		default:
			all[len(all)-1].option[strings.TrimSpace(name)] = strings.TrimSpace(strings.TrimPrefix(value, ">"))
		}
	}
	return all
}

// The chatplan is well-formed, its expressions can be compiled, it sends by
// profiles that are there, and what matches nothing else ends.
func TestTheFreeSWITCHExampleNamesWhatIsThere(t *testing.T) {
	t.Parallel()
	const folder = "../../examples/pbx/freeswitch/"
	var profile struct {
		Profile struct {
			Name   string `xml:"name,attr"`
			Params []struct {
				Name  string `xml:"name,attr"`
				Value string `xml:"value,attr"`
			} `xml:"settings>param"`
		} `xml:"profile"`
	}
	var plan struct {
		Contexts []struct {
			Name       string `xml:"name,attr"`
			Extensions []struct {
				Conditions []struct {
					Expression string `xml:"expression,attr"`
					Actions    []struct {
						Application string `xml:"application,attr"`
						Data        string `xml:"data,attr"`
					} `xml:"action"`
				} `xml:"condition"`
			} `xml:"extension"`
		} `xml:"context"`
	}
	for file, v := range map[string]any{"sip_profiles/parley.xml": &profile, "chatplan/parley.xml": &plan, "directory/default/700.xml": &struct{}{}} {
		if err := xml.Unmarshal([]byte(text(t, folder+file)), v); err != nil {
			t.Fatal(file, err)
		}
	}
	contexts := map[string]string{} // and the last thing that is done there
	for _, c := range plan.Contexts {
		for _, x := range c.Extensions {
			for _, cond := range x.Conditions {
				if _, err := regexp.Compile(cond.Expression); err != nil {
					t.Error(err)
				}
				for _, a := range cond.Actions {
					contexts[c.Name] = a.Application
					by, _, sends := strings.Cut(strings.TrimPrefix(a.Data, "to="), "/")
					if sends && by != profile.Profile.Name && by != "internal" {
						t.Errorf("it sends by the profile %q, which is not there", by)
					}
				}
			}
		}
	}
	for _, p := range profile.Profile.Params {
		if p.Name == "context" && contexts[p.Value] != "stop" {
			t.Errorf("what comes from Parley ends with %q in the context %q", contexts[p.Value], p.Value)
		}
	}
	if len(contexts) != 2 {
		t.Errorf("contexts %v", contexts)
	}
}

func text(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
