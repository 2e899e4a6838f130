package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"kinward/console"
	"kinward/store"
)

// One process owns a data folder. While serve runs, every other command sends
// its operation to serve through a Unix socket in that folder; without serve
// the command takes the folder's lock and runs the same operation itself.

// operation is something a command asks of the data folder's owner. Req and Rep
// travel as JSON.
type operation[Req, Rep any] struct {
	name string
	run  func(context.Context, *node, Req, progress) (Rep, error)
}

// progress tells whoever waits how far a long operation is. It may be called
// from one goroutine at a time.
type progress func(text string)

// handler runs an operation from its encoded request.
type handler func(context.Context, *node, json.RawMessage, progress) (any, error)

func (o operation[Req, Rep]) handler() handler {
	return func(ctx context.Context, n *node, raw json.RawMessage, p progress) (any, error) {
		var req Req
		d := json.NewDecoder(bytes.NewReader(raw))
		d.DisallowUnknownFields()
		if err := d.Decode(&req); err != nil {
			return nil, fmt.Errorf("reading the request for %s (are the two kinward programs of one version?): %w", o.name, err)
		}
		return o.run(ctx, n, req, p)
	}
}

// offered is an operation of any type.
type offered interface {
	offer() (string, handler)
	types() (string, console.OperationTypes)
}

func (o operation[Req, Rep]) offer() (string, handler) { return o.name, o.handler() }

func (o operation[Req, Rep]) types() (string, console.OperationTypes) {
	return o.name, console.OperationTypes{Request: reflect.TypeFor[Req](), Reply: reflect.TypeFor[Rep]()}
}

// operations is the table of all that the socket offers.
func operations() map[string]handler {
	table := map[string]handler{}
	eachOperation(func(o offered) {
		name, h := o.offer()
		table[name] = h
	})
	return table
}

// operationTypes is what each of them takes and replies.
func operationTypes() map[string]console.OperationTypes {
	table := map[string]console.OperationTypes{}
	eachOperation(func(o offered) {
		name, t := o.types()
		table[name] = t
	})
	return table
}

func eachOperation(f func(offered)) {
	for _, o := range []offered{
		opIncidents, opIncidentShow, opIncidentReview, opIncidentUnreview, opIncidentMute, opIncidentMutes, opIncidentUnmute, opIncidentViews,
		opIncidentFollow, opIncidentExport, opIncidentFile, opRetention, opRetentionSet, opErase, opHelpLines, opFamilyCountry, opProfileMine,
		opToday, opCategories, opSignals, opSignalSwitch, opSignalNight, opAlerts, opAlertAdd, opAlertSet, opAlertRemove, opAlertTest, opDigest,
		opExplain, opBackup, opStatus, opDoctor, opPing, opCache, opCacheFlush,
		opLists, opListsAdd, opListsUpdate, opListsAccept, opListsRollback, opListsRemove,
		opServices, opProfileServices, opService, opCatalogue, opCatalogueUpdate, opCatalogueRollback,

		opFamilies, opFamily, opFamilyAdd, opFamilyRemove, opFamilyRename, opFamilyZone, opFamilyUnknown, opFamilyNetwork,
		opLink, opLinkMake, opLinkRevoke,
		opFamilyLoosening, opFamilyApply, opFamilyExport,
		opGuardians, opGuardianInvite, opGuardianUninvite, opGuardianAdd, opGuardianRole, opGuardianRename, opGuardianRemove,
		opProfileShow, opProfileAdd, opProfileSet, opProfileRename, opProfileRemove,
		opProfileChoose, opProfileList, opProfileLog, opProfileResponse, opProfileBypass, opProfileGuests,
		opSearch, opSearchSet,
		opDeviceAdd, opDeviceExempt, opDeviceUnexempt, opDeviceGuest, opDeviceProfile, opDeviceRename, opDeviceRemove,
		opDeviceClueAdd, opDeviceClueRemove, opDevicesSeen, opDeviceSetup, opDeviceApple, opDeviceSign, opDeviceCheck, opDeviceWatch, opDeviceWatched,
		opPortalName, opPortalMine,
		opRuleAdd, opRuleRemove,
		opScheduleAdd, opScheduleBedtime, opScheduleSet, opScheduleExcept, opScheduleHolidays, opScheduleSwitch, opScheduleRemove,
		opHolidayAdd, opHolidayRemove, opGrantAdd, opGrantRevoke, opPause, opResume,
		opChanges, opChangeShow, opChangeUndo, opPending, opPendingApprove, opPendingReject,
		opRequests, opRequestsMine, opRequestAdd, opRequestAnswer,
		opConsole, opConsoleLink, opConsoleReset, opConsoleSessions, opConsoleSignOut,
	} {
		f(o)
	}
}

// call runs the operation at the owner of the configured data folder.
func (o operation[Req, Rep]) call(ctx context.Context, c *config, req Req, p progress) (Rep, error) {
	var rep Rep
	conn, err := dialControl(ctx, c.Data)
	switch {
	case err == nil:
		return o.remote(ctx, conn, req, p)
	case !errors.Is(err, errNotServing):
		return rep, err
	}
	fresh, err := o.mayOpen(c, req)
	if err != nil {
		return rep, err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	n, err := openNode(ctx, c, log, 0)
	if err != nil {
		return rep, err
	}
	defer n.close()
	if fresh {
		fmt.Fprintf(os.Stderr, "There was no Kinward data in %s yet; it begins there.\n", c.Data)
	}
	return o.run(ctx, n, req, p)
}

// mayOpen keeps a command from making a new, empty data folder where the person
// means one that is elsewhere: it would report that all is calm, or change
// rules that no server goes by. What begins something makes a folder that was
// named, so that much can be prepared before the first start; fresh says that.
func (o operation[Req, Rep]) mayOpen(c *config, req Req) (fresh bool, err error) {
	if _, err := os.Stat(filepath.Join(c.Data, store.FileName)); !errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if c.Data == defaultDataFolder() || !o.begins(req) {
		return false, &codedError{exitNothing, fmt.Errorf("there is no Kinward data in %s: start {kinward} serve, or name the folder of the one that runs with --data (after an installation as a service: sudo kinward … --data /var/lib/kinward)", c.Data)}
	}
	return true, nil
}

// begins reports whether o is of use where nothing is kept yet: it adds or
// chooses something. What looks, ends, takes away, or is about what must be there is
// not.
func (o operation[Req, Rep]) begins(req Req) bool {
	switch r := any(req).(type) {
	case change[setupRequest]:
		return !r.Do.Look
	case beginning:
		last := o.name[strings.LastIndex(o.name, "-")+1:]
		return !slices.Contains([]string{"remove", "revoke", "uninvite", "unexempt", "resume", "answer", "rename", "role", "undo"}, last)
	case applyRequest:
		return !r.DryRun
	case listsAddRequest, catalogueUpdateRequest, alertAddRequest:
		return true
	}
	return false
}

// beginning is a [change] of any kind.
type beginning interface{ changes() }

// errNotServing says that no serve owns the data folder.
var errNotServing = errors.New("no kinward serve runs on this data folder")

func socketPath(data string) string { return filepath.Join(data, "kinward.sock") }

func dialControl(ctx context.Context, data string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, "unix", socketPath(data))
	switch {
	case err == nil:
		return conn, nil
	case errors.Is(err, fs.ErrNotExist), isRefused(err):
		return nil, errNotServing
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("reaching kinward serve: %s belongs to another user; run this command as the user that runs serve", socketPath(data))
	}
	return nil, fmt.Errorf("reaching kinward serve through %s: %w", socketPath(data), err)
}

// frame is a line of a reply: any number with progress, then one with the
// result or the error.
type frame struct {
	Progress string          `json:"progress,omitempty"`
	Result   json.RawMessage `json:"result,omitempty"`
	Error    string          `json:"error,omitempty"`
	Code     int             `json:"code,omitempty"`
}

func (o operation[Req, Rep]) remote(ctx context.Context, conn net.Conn, req Req, p progress) (rep Rep, err error) {
	client := &http.Client{Transport: &http.Transport{
		DialContext:           func(context.Context, string, string) (net.Conn, error) { return conn, nil },
		DisableKeepAlives:     true,
		ResponseHeaderTimeout: controlPatience,
	}}
	body, err := json.Marshal(req)
	if err != nil {
		return rep, fmt.Errorf("encoding the request for %s: %w", o.name, err)
	}
	if len(body) > maxRequest {
		return rep, usageError(fmt.Errorf("the request for %s has %d bytes; at most %d are taken, so name less at once", o.name, len(body), maxRequest))
	}
	hr, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://kinward/v1/"+o.name, bytes.NewReader(body))
	if err != nil {
		return rep, err
	}
	resp, err := client.Do(hr)
	switch silent := net.Error(nil); {
	case err == nil:
	case errors.As(err, &silent) && silent.Timeout() && ctx.Err() == nil:
		return rep, fmt.Errorf("kinward serve runs on this data folder and has said nothing for %v: it is stopped (SIGSTOP, a debugger), or the machine has no time for it; let it go on, or end it and start it again", controlPatience)
	default:
		return rep, fmt.Errorf("asking kinward serve: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return rep, fmt.Errorf("asking kinward serve: it answered %s; are the two kinward programs of one version?", resp.Status)
	}
	lines := json.NewDecoder(resp.Body)
	for {
		var f frame
		if err := lines.Decode(&f); err != nil {
			if ctx.Err() != nil {
				return rep, ctx.Err()
			}
			return rep, fmt.Errorf("asking kinward serve: it stopped before it answered: %w", err)
		}
		switch {
		case f.Error != "":
			return rep, &codedError{f.Code, errors.New(f.Error)}
		case f.Result != nil:
			if err := json.Unmarshal(f.Result, &rep); err != nil {
				return rep, fmt.Errorf("reading the reply of %s: %w", o.name, err)
			}
			return rep, nil
		case p != nil:
			p(f.Progress)
		}
	}
}

// controlPatience is how long serve may take to say that it has a request, which it
// does at once; what it then does may take longer.
const controlPatience = 10 * time.Second

// maxRequest bounds what a command asks of serve: mostly a few hundred bytes; a
// family's file is the longest, see maxDeclared.
const maxRequest = 1 << 20

// controlServer serves the operations of n on the data folder's socket.
type controlServer struct {
	listener net.Listener
	server   *http.Server
}

// listenControl makes the socket. The caller holds the folder's lock, so a
// socket that is there is left over from a process that was killed.
func listenControl(n *node) (*controlServer, error) {
	path := socketPath(n.cfg.Data)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("removing an old control socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("making the control socket (the path of the data folder may be too long; give a shorter --data): %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("guarding the control socket: %w", err)
	}
	mux := http.NewServeMux()
	for name, h := range n.operations {
		mux.HandleFunc("POST /v1/"+name, func(w http.ResponseWriter, r *http.Request) { serveOperation(n, h, w, r) })
	}
	return &controlServer{l, &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}}, nil
}

func (s *controlServer) run() error {
	if err := s.server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving the control socket: %w", err)
	}
	return nil
}

func serveOperation(n *node, h handler, w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		http.Error(w, "request too large", http.StatusRequestEntityTooLarge)
		return
	}
	_ = http.NewResponseController(w).Flush() // it has come: see controlPatience
	out := bufio.NewWriter(w)
	lines := json.NewEncoder(out)
	send := func(f frame) {
		_ = lines.Encode(f) // a client that went away also ends r.Context()
		out.Flush()
		http.NewResponseController(w).Flush()
	}
	result, err := h(r.Context(), n, raw, func(text string) { send(frame{Progress: text}) })
	if err == nil {
		var encoded []byte
		if encoded, err = json.Marshal(result); err == nil {
			send(frame{Result: encoded})
			return
		}
	}
	f := frame{Error: err.Error(), Code: exitFailed}
	var coded *codedError
	if errors.As(err, &coded) {
		f.Code = coded.code
	}
	send(f)
}
