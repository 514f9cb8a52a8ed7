package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"parley.im/plugins/content"
	"parley.im/plugins/content/mapping"
	"parley.im/plugins/content/markup"
	plaintext "parley.im/plugins/content/text"
)

// maxPreview is the largest file that is read for a preview, in bytes.
const maxPreview = 16 << 20

func newContent() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "content",
		Short: "See what becomes of a message's content",
		Args:  cobra.NoArgs,
		RunE:  needsCommand,
	}
	cmd.AddCommand(newContentPreview())
	return cmd
}

func newContentPreview() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "preview FILE",
		Short: "Show what arrives of a message in another network",
		Long: `Show what arrives of a message in another network, and what is lost on the way.

FILE is the message as MIME: headers with a Content-Type, an empty line, and the
body; a mail as it was saved will do, and what has no headers is plain text. "-"
is the standard input. Nothing is sent.`,
		Example: `  parley content preview letter.eml --to slack
  printf 'Content-Type: text/markdown\n\n**hello**' | parley content preview - --to matrix
  parley content preview letter.eml --to sip --accept text/html`,
		Args: cobra.ExactArgs(1),
	}
	to := cmd.Flags().String("to", "", "network: sip, "+strings.Join(slices.Sorted(maps.Keys(bundled())), ", "))
	accept := cmd.Flags().StringSlice("accept", nil, "with --to sip: types that the phone takes beside plain text")
	links := cmd.Flags().String("links", "", "where links to files lead, as if [files] links were set")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		taker, err := takerOf(*to, *accept)
		if err != nil {
			return err
		}
		data, err := readPreview(cmd.InOrStdin(), args[0])
		if err != nil {
			return err
		}
		text, err := preview(data, taker, *links)
		if err != nil {
			return err
		}
		_, err = io.WriteString(cmd.OutOrStdout(), text)
		return err
	}
	return cmd
}

// takerOf returns what a network takes.
func takerOf(network string, accept []string) (mapping.Taker, error) {
	if network == "sip" {
		t := mapping.Taker{MaxBytes: 64 << 10}
		for _, kind := range accept {
			if markup.Form(kind).Known() {
				t.Types = append(t.Types, kind)
			}
		}
		t.Types = append(t.Types, string(markup.Plain))
		return t, nil
	}
	make, ok := bundled()[network]
	if !ok {
		return mapping.Taker{}, usage("--to %s: no such network; there is sip, %s", quote(network), strings.Join(slices.Sorted(maps.Keys(bundled())), ", "))
	}
	d := make().Describe()
	return mapping.Taker{Types: d.Types, MaxBytes: int64(d.MaxBytes), MaxFile: d.MaxFile}, nil
}

func readPreview(in io.Reader, name string) ([]byte, error) {
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, maxPreview+1))
	if err == nil && len(data) > maxPreview {
		err = fmt.Errorf("%s has more than %d bytes", name, maxPreview)
	}
	return data, err
}

// preview says what becomes of a message.
func preview(data []byte, t mapping.Taker, links string) (string, error) {
	m := mapping.Entity(data)
	m.Links = strings.TrimSuffix(links, "/")
	out, losses, err := mapping.Map(m, t)
	if err != nil {
		return "", fmt.Errorf("it would be refused: %w", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n%s\n", plaintext.Clean(out.MediaType), shown(out.Data))
	for _, f := range out.Files {
		fmt.Fprintf(&b, "\nfile: %s (%s, %d bytes)", f.Name, f.MediaType, max(f.Size, int64(len(f.Data))))
	}
	if len(losses) > 0 {
		fmt.Fprintf(&b, "\nlost: %s", lossList(losses))
	}
	return strings.TrimRight(b.String(), "\n") + "\n", nil
}

// shown is a body as a terminal may show it: what a network takes as it came
// can be anything.
func shown(body []byte) string {
	if !utf8.Valid(body) {
		return fmt.Sprintf("[%d bytes]", len(body))
	}
	return plaintext.Clean(string(body))
}

func lossList(losses content.Losses) string {
	list := make([]string, len(losses))
	for i, l := range losses {
		list[i] = string(l)
	}
	return strings.Join(list, ", ")
}
