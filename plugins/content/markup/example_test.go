package markup_test

import (
	"fmt"

	"parley.im/plugins/content/markup"
)

func ExampleConvert() {
	out, lost, err := markup.Convert("*Hello* <@U024BE7LH>, see <https://example.org|this> :tada:", markup.Slack, markup.Matrix)
	fmt.Println(out, lost, err)
	// Output: <strong>Hello</strong> @U024BE7LH, see <a href="https://example.org">this</a> 🎉 [mention as text] <nil>
}

func ExampleDoc_Resolve() {
	d, err := markup.Read("<@U024BE7LH>: <!here>", markup.Slack)
	if err != nil {
		panic(err)
	}
	d.Resolve(func(id, text string) (string, bool) {
		if id == "U024BE7LH" {
			return "@ann", false
		}
		return text, false
	})
	fmt.Println(d.Write(markup.Plain))
	// Output: @ann: @here <nil>
}
