package main

import (
	"bytes"
	"context"
	"fmt"
)

type exportFileRequest struct {
	incidentsQuery
	Format string `json:"format"` // of [formats]
}

// exportFile is an export as a browser saves it.
type exportFile struct {
	Name      string `json:"name"`
	Type      string `json:"type"` // of media
	Content   []byte `json:"content"`
	SHA256    string `json:"sha256"`
	Incidents int    `json:"incidents"`
}

var opIncidentFile = operation[exportFileRequest, exportFile]{"incidents-file", incidentFile}

// maxFile is how many incidents a file holds that is made for somebody else than
// the command line: it is made in the memory of the server that everybody shares.
const maxFile = 20_000

// fileTypes are the endings and media types of what [formats] write.
var fileTypes = map[string][2]string{
	"csv": {".csv", "text/csv; charset=utf-8"}, "json": {".json", "application/json"}, "bundle": {".zip", "application/zip"},
}

func incidentFile(ctx context.Context, n *node, req exportFileRequest, _ progress) (exportFile, error) {
	kind, known := fileTypes[req.Format]
	if !known {
		return exportFile{}, usageError(fmt.Errorf("--format: %q is none; give csv, json or bundle", req.Format))
	}
	x, err := n.export(ctx, req.incidentsQuery, maxFile)
	if err != nil {
		return exportFile{}, err
	}
	var b bytes.Buffer
	if err := formats[req.Format](&b, x); err != nil {
		return exportFile{}, fmt.Errorf("writing the export: %w", err)
	}
	return exportFile{
		Name: "kinward-incidents-" + x.Made.Format("20060102T150405Z") + kind[0], Type: kind[1],
		Content: b.Bytes(), SHA256: sumText(b.Bytes()), Incidents: len(x.Incidents),
	}, nil
}
