package core

import (
	"testing"
	"time"

	"parley.im/core/config"
	"parley.im/core/plughost"
	"parley.im/plugins/sdk"
)

func TestThePaceOfTheFileStandsOverTheConnectors(t *testing.T) {
	c := &connector{process: &plughost.Connector{}, refuse: func() []string { return nil }, last: sdk.Description{Gate: sdk.Gate{Outstanding: 4, Every: time.Second}}}
	if a := c.abilities(); a.Outstanding != 4 || a.Every != time.Second {
		t.Errorf("as the connector says: %+v", a)
	}
	c.config.Pace = config.Pace{Every: 3 * time.Second}
	if a := c.abilities(); a.Outstanding != 4 || a.Every != 3*time.Second {
		t.Errorf("with a pause of the file: %+v", a)
	}
	c.config.Pace.Outstanding = 1
	if a := c.abilities(); a.Outstanding != 1 {
		t.Errorf("with a limit of the file: %+v", a)
	}
}
