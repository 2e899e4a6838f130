package main

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kinward/blocklists"
	"kinward/journal"
)

// exportData is a family's incidents as they leave Kinward, with what they were
// decided by. All times are UTC.
type exportData struct {
	Lang      string             `json:"-"` // BCP 47, of the page to read; "" is English
	Made      time.Time          `json:"made"`
	Kinward   string             `json:"kinward"` // the version that made it
	Family    string             `json:"family"`
	By        string             `json:"by"` // who exported it
	Zone      string             `json:"zone"`
	Since     time.Time          `json:"since"`
	Until     time.Time          `json:"until"`
	Policy    uint64             `json:"policy_revision"` // of the family's choices now; each incident has its own
	Catalogue blocklists.Edition `json:"catalogue"`       // in force now
	Lists     []exportedList     `json:"lists"`
	Incidents []incidentView     `json:"incidents"` // newest first
	Counted   []countView        `json:"counted"`
	Lost      []journal.Loss     `json:"lost"` // attempts of this time, of whatever family, that could not be kept
}

// exportedList is a list in force now.
type exportedList struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	SHA256  string `json:"sha256"`
	Entries int    `json:"entries"`
}

var opIncidentExport = operation[incidentsQuery, exportData]{"incidents-export", exportIncidents}

// maxExported bounds an export, which is made in memory: some hundred megabytes.
const maxExported = 100_000

func (c *cli) incidentExportCommand() *cobra.Command {
	format, out := "csv", ""
	cmd := &cobra.Command{
		Use: "export", Short: "Write incidents as CSV, JSON, or a bundle for the police or a school",
		Long: `Writes incidents with all times in UTC, not by the family's clock: those of the columns,
of the sentences and of the reviews. A bundle is a zip with a page to read, the same as
CSV and JSON, the versions of choices and lists, and SHA256SUMS, made at the export.
To check it: unzip it and run sha256sum -c SHA256SUMS in its folder. The checksum of the
zip itself is printed: write it down, since who changes the bundle could change the
sums in it, too. It shows what a device looked up; it proves no visit and no intent.`,
		Example: `  kinward incidents export > incidents.csv
  kinward incidents export --since 90d --profile Lea --format json --out lea.json
  kinward incidents export --since 30d --format bundle --out incidents.zip`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error { return c.export(cmd, format, out) },
	}
	c.queryFlags(cmd)
	cmd.Flags().StringVar(&format, "format", "csv", "csv, json or bundle")
	cmd.Flags().StringVar(&out, "out", "", "the file to write, which must not exist (default: the standard output; a bundle needs one)")
	return cmd
}

// formats are how an export is written.
var formats = map[string]func(io.Writer, exportData) error{"csv": writeCSV, "json": writeJSON, "bundle": writeBundle}

func (c *cli) export(cmd *cobra.Command, format, out string) (err error) {
	write := formats[format]
	switch {
	case write == nil:
		return usageError(fmt.Errorf("--format: %q is none; give csv, json or bundle", format))
	case format == "bundle" && out == "":
		return usageError(errors.New("a bundle is a file: name one with --out incidents.zip"))
	}
	cfg, err := c.config(cmd)
	if err != nil {
		return err
	}
	to := io.Writer(c.out)
	if out != "" {
		f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			return usageError(fmt.Errorf("%s exists already; name another file", out))
		} else if err != nil {
			return fmt.Errorf("writing the export: %w", err)
		}
		defer func() {
			if failed := f.Close(); err == nil {
				err = failed
			}
			if err != nil {
				os.Remove(out)
			}
		}()
		to = f
	}
	p, done := c.progress()
	x, err := opIncidentExport.call(cmd.Context(), cfg, c.query, p)
	done()
	if err != nil {
		return c.calledError(err)
	}
	var b bytes.Buffer
	if err := write(&b, x); err != nil {
		return fmt.Errorf("writing the export: %w", err)
	}
	if _, err := to.Write(b.Bytes()); err != nil {
		return fmt.Errorf("writing the export: %w", err)
	}
	if out != "" {
		fmt.Fprintf(c.out, "%s: %s. Keep it as you would a diary.\nSHA-256: %s\n", out, plural(len(x.Incidents), "incident"), sumText(b.Bytes()))
	}
	return nil
}

func sumText(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func exportIncidents(ctx context.Context, n *node, q incidentsQuery, _ progress) (exportData, error) {
	return n.export(ctx, q, maxExported)
}

// export reads at most so many incidents with what they were decided by, and keeps
// that they were exported.
func (n *node) export(ctx context.Context, q incidentsQuery, most int) (exportData, error) {
	r, err := n.read(ctx, q)
	if err != nil {
		return exportData{}, err
	}
	if r.waiting != "" { // an export that lacks something must not look whole
		return exportData{}, fmt.Errorf("exporting: the newest attempts are not stored yet: %s", r.waiting)
	}
	_, revision, err := n.family(ctx, q.Family)
	if err != nil {
		return exportData{}, err
	}
	found, next, err := r.incidents(ctx, most)
	if err != nil {
		return exportData{}, err
	}
	if next != (journal.Cursor{}) {
		return exportData{}, usageError(fmt.Errorf("there are more than %d incidents; take a part of them, with --since and --until", most))
	}
	x := exportData{
		Lang: language(ctx), Made: r.now.UTC().Truncate(time.Second), Kinward: version(), Family: r.f.Name, By: r.by.Who, Zone: r.zone.String(),
		Since: r.filter.Since.UTC(), Until: r.now.UTC(), Policy: revision, Catalogue: n.catalogue.Load().Edition,
		Lists: []exportedList{}, Incidents: []incidentView{},
	}
	if !r.filter.Until.IsZero() {
		x.Until = r.filter.Until.UTC()
	}
	for _, l := range n.lists.Lists() {
		x.Lists = append(x.Lists, exportedList{l.ID, l.Name, l.SHA256, l.Entries})
	}
	r.zone = time.UTC
	for _, i := range found {
		x.Incidents = append(x.Incidents, r.view(i))
	}
	if x.Counted, err = r.counts(ctx); err != nil {
		return exportData{}, err
	}
	if x.Lost, err = n.db.Losses(ctx, r.filter.Since); err != nil {
		return exportData{}, err
	}
	return x, r.viewed(ctx, "export", len(found)+len(x.Counted))
}

func writeJSON(w io.Writer, x exportData) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(x)
}

var csvColumns = []string{
	"id", "first_utc", "last_utc", "profile", "device", "service", "category", "domain", "top_name", "verdict", "why",
	"tries", "queries", "list", "entry", "policy_revision", "sentence_utc", "reviews",
}

// writeCSV writes a row an incident (RFC 4180).
func writeCSV(w io.Writer, x exportData) error {
	c := csv.NewWriter(w)
	c.UseCRLF = true
	if err := c.Write(csvColumns); err != nil {
		return err
	}
	for _, i := range x.Incidents {
		row := []string{
			i.ID, i.First.UTC().Format(time.RFC3339), i.Last.UTC().Format(time.RFC3339), i.ProfileName, i.DeviceName,
			i.ServiceName, i.CategoryName, i.Domain, i.TopName, i.Verdict, i.Why, strconv.FormatUint(i.Tries, 10), strconv.FormatUint(i.Queries, 10),
			i.List, i.Entry, strconv.FormatUint(i.Revision, 10), i.Sentence, reviewsText(i.Reviews),
		}
		for k := range row {
			row[k] = cell(row[k])
		}
		if err := c.Write(row); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}

func reviewsText(list []journal.Review) string {
	var out []string
	for _, r := range list {
		text := r.At.UTC().Format(time.RFC3339) + " " + r.Who
		if r.Note != "" {
			text += ": " + r.Note
		}
		out = append(out, text)
	}
	return strings.Join(out, "; ")
}

// cell makes a text that no spreadsheet takes for a formula: whoever names a host
// or a device could otherwise have one run at the guardian's. It begins with an
// apostrophe then, as spreadsheets themselves mark a text.
func cell(s string) string {
	for _, r := range s {
		if strings.ContainsRune("=+-@\t\r\n|%＝＋－＠", r) {
			return "'" + s
		}
		if r != ' ' && r != '"' && r != '\'' {
			return s
		}
	}
	return s
}

// sumsFile lists the checksums of a bundle's files as sha256sum writes them.
const sumsFile = "SHA256SUMS"

// writeBundle writes a zip with a page to read, the data, and their checksums.
func writeBundle(w io.Writer, x exportData) error {
	files := map[string][]byte{}
	for name, write := range map[string]func(io.Writer, exportData) error{"incidents.html": writePage, "incidents.csv": writeCSV, "incidents.json": writeJSON} {
		var b bytes.Buffer
		if err := write(&b, x); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
		files[name] = b.Bytes()
	}
	var sums strings.Builder
	for _, name := range sortedKeys(files) {
		fmt.Fprintf(&sums, "%s  %s\n", sumText(files[name]), name)
	}
	files[sumsFile] = []byte(sums.String())
	z := zip.NewWriter(w)
	names := sortedKeys(files)
	slices.Reverse(names) // the page before the data
	for _, name := range names {
		f, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: x.Made})
		if err != nil {
			return err
		}
		if _, err := f.Write(files[name]); err != nil {
			return err
		}
	}
	return z.Close()
}
