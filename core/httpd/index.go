package httpd

import (
	"html/template"
	"net/http"
)

var indexPage = template.Must(template.New("index").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Parley</title>
<h1>Parley</h1>
{{if .}}<ul>
{{range .}}<li><a href="/c/{{.}}/">{{.}}</a></li>
{{end}}</ul>
{{else}}<p>No connector of this bridge has a page.</p>
{{end}}<p><a href="/readyz">Is it ready?</a></p>
</html>
`))

// serveIndex leads to the only connector with a page, or lists them all.
func (d *Door) serveIndex(w http.ResponseWriter, r *http.Request) {
	names := d.pages()
	if len(names) == 1 {
		http.Redirect(w, r, connectorRoot+names[0]+"/", http.StatusFound)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := indexPage.Execute(w, names); err != nil {
		d.log.Debug("http: index", "error", err)
	}
}
