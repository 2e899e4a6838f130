package main

import (
	"archive/zip"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kinward/blocklists"
	"kinward/journal"
)

func TestCell(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"", ""},
		{"omegle.com", "omegle.com"},
		{"Lea's phone", "Lea's phone"},
		{"a=b", "a=b"},
		{"=HYPERLINK(\"http://a.example\")", "'=HYPERLINK(\"http://a.example\")"},
		{"+1", "'+1"},
		{"-1", "'-1"},
		{"@SUM(A1)", "'@SUM(A1)"},
		{"\t=1", "'\t=1"},
		{"\r=1", "'\r=1"},
		{"  =1", "'  =1"},
		{"\"=1", "'\"=1"},
		{"＝1", "'＝1"},
		{"|cmd", "'|cmd"},
	} {
		if got := cell(tt.text); got != tt.want {
			t.Errorf("cell(%q) is %q, want %q", tt.text, got, tt.want)
		}
	}
}

// exportSample holds what a spreadsheet, a page and a shell would stumble over.
func exportSample() exportData {
	at := time.Date(2026, 11, 23, 21, 30, 0, 0, time.FixedZone("CET", 3600))
	i := journal.Incident{ID: "0199aa9c7f01", First: at, Last: at.Add(time.Minute), Verdict: "block", Domain: "omegle.com", TopName: "www.omegle.com", Types: []string{"A"}, Tries: 3, Queries: 9, Revision: 4}
	return exportData{
		Made: at.UTC(), Kinward: "test", Family: "Home <script>", By: "Eva", Zone: "Europe/Berlin", Since: at.UTC(), Until: at.UTC(), Policy: 7,
		Catalogue: blocklists.Edition{Version: 3, Date: "2026-11-24"}, Lists: []exportedList{{"school", "School", "abc123", 12}},
		Incidents: []incidentView{{
			Incident: i, ProfileName: "=cmd|' /C calc'!A0", DeviceName: "<img src=x>", Sentence: "It was blocked.", Why: "a, \"b\"\nc",
			Reviews: []journal.Review{{Reader: journal.Reader{Who: "Eva"}, At: at, Note: "we talked"}},
		}},
		Counted: []countView{{journal.Count{Day: "2026-11-23", Tries: 2}, "Lea", "Dating & hook-ups"}},
	}
}

func TestExportCSV(t *testing.T) {
	var b bytes.Buffer
	if err := writeCSV(&b, exportSample()); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&b).ReadAll()
	if err != nil || len(rows) != 2 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	want := map[string]string{
		"first_utc": "2026-11-23T20:30:00Z", "profile": "'=cmd|' /C calc'!A0", "why": "a, \"b\"\nc", "tries": "3", "policy_revision": "4",
		"reviews": "2026-11-23T20:30:00Z Eva: we talked",
	}
	for k, column := range csvColumns {
		if w, ok := want[column]; ok && rows[1][k] != w {
			t.Errorf("%s is %q, want %q", column, rows[1][k], w)
		}
	}
}

// TestExportBundle: the bundle holds a page, the data and sums, which the usual
// tool finds right, and wrong once a byte is another.
func TestExportBundle(t *testing.T) {
	var b bytes.Buffer
	if err := writeBundle(&b, exportSample()); err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, f := range z.File {
		in, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, f.Name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	verify := func() (string, error) {
		cmd := exec.Command("sha256sum", "-c", sumsFile)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := verify()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	wantAll(t, "sha256sum", out, "incidents.html: OK", "incidents.csv: OK", "incidents.json: OK")
	page, err := os.ReadFile(filepath.Join(dir, "incidents.html"))
	if err != nil {
		t.Fatal(err)
	}
	wantAll(t, "the page", string(page), "Home &lt;script&gt;", "2026-11-23 20:30:00", "All times are UTC", "edition 3 of 2026-11-24", "abc123", "revision 7", "revision 4",
		"we talked", "0199aa9c7f01", "sha256sum -c SHA256SUMS", "A look-up is not a visit", "Dating &amp; hook-ups", "default-src 'none'")
	wantNone(t, "the page", string(page), "<script", "<img", "http://", "https://")
	var back exportData
	text, err := os.ReadFile(filepath.Join(dir, "incidents.json"))
	if err == nil {
		err = json.Unmarshal(text, &back)
	}
	if err != nil || len(back.Incidents) != 1 || back.Policy != 7 || back.Lists[0].SHA256 != "abc123" || back.Incidents[0].TopName != "www.omegle.com" {
		t.Errorf("the data: %v %+v", err, back)
	}
	if err := os.WriteFile(filepath.Join(dir, "incidents.csv"), []byte(strings.Repeat("x", 10)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := verify(); err == nil {
		t.Errorf("a changed file is found right:\n%s", out)
	}
}
