package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"kinward/journal/alerts"
)

// constants are the numbers that the program's packages declare, by the package's
// name and their own: "policy.MaxRules". A default that is given by cmp.Or in a
// literal stands beside them: "blocklists.Limits.Body".
type constants map[string]constant.Value

func readConstants(t *testing.T) constants {
	t.Helper()
	said := map[string]ast.Expr{}
	files := token.NewFileSet()
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		name := f.Name.Name + "."
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GenDecl:
				if n.Tok == token.CONST {
					for _, s := range n.Specs {
						v := s.(*ast.ValueSpec)
						for i, value := range v.Values {
							said[name+v.Names[i].Name] = value
						}
					}
				}
			case *ast.CompositeLit:
				if kind, ok := n.Type.(*ast.Ident); ok {
					for _, e := range n.Elts {
						if field, value, ok := orDefault(e); ok {
							said[name+kind.Name+"."+field] = value
						}
					}
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	c := constants{}
	for name, e := range said {
		pkg, _, _ := strings.Cut(name, ".")
		if v, err := numberOf(e, pkg, said, 0); err == nil {
			c[name] = v
		}
	}
	return c
}

// orDefault reads FIELD: cmp.Or(l.FIELD, VALUE).
func orDefault(e ast.Expr) (field string, value ast.Expr, ok bool) {
	pair, ok := e.(*ast.KeyValueExpr)
	if !ok {
		return "", nil, false
	}
	call, ok := pair.Value.(*ast.CallExpr)
	if !ok || len(call.Args) != 2 {
		return "", nil, false
	}
	f, ok := call.Fun.(*ast.SelectorExpr)
	key, named := pair.Key.(*ast.Ident)
	if !ok || !named || f.Sel.Name != "Or" {
		return "", nil, false
	}
	return key.Name, call.Args[1], true
}

var errNoNumber = errors.New("no number")

// numberOf works out a constant expression of numbers.
func numberOf(e ast.Expr, pkg string, said map[string]ast.Expr, depth int) (constant.Value, error) {
	if depth > 20 {
		return nil, errNoNumber
	}
	look := func(name string) (constant.Value, error) {
		if x, ok := said[name]; ok {
			of, _, _ := strings.Cut(name, ".")
			return numberOf(x, of, said, depth+1)
		}
		return nil, errNoNumber
	}
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind == token.INT || e.Kind == token.FLOAT {
			return constant.MakeFromLiteral(e.Value, e.Kind, 0), nil
		}
	case *ast.ParenExpr:
		return numberOf(e.X, pkg, said, depth+1)
	case *ast.Ident:
		return look(pkg + "." + e.Name)
	case *ast.SelectorExpr:
		of, ok := e.X.(*ast.Ident)
		if !ok {
			return nil, errNoNumber
		}
		if of.Name == "time" {
			unit, err := time.ParseDuration("1" + map[string]string{"Second": "s", "Minute": "m", "Hour": "h", "Millisecond": "ms"}[e.Sel.Name])
			if err != nil {
				return nil, errNoNumber
			}
			return constant.MakeInt64(int64(unit)), nil
		}
		return look(of.Name + "." + e.Sel.Name)
	case *ast.BinaryExpr:
		x, err := numberOf(e.X, pkg, said, depth+1)
		if err != nil {
			return nil, err
		}
		y, err := numberOf(e.Y, pkg, said, depth+1)
		if err != nil {
			return nil, err
		}
		switch e.Op {
		case token.SHL:
			n, _ := constant.Uint64Val(y)
			return constant.Shift(x, token.SHL, uint(n)), nil
		case token.QUO:
			if x.Kind() == constant.Int && y.Kind() == constant.Int {
				return constant.BinaryOp(x, token.QUO_ASSIGN, y), nil // of whole numbers
			}
		case token.ADD, token.SUB, token.MUL:
			return constant.BinaryOp(x, e.Op, y), nil
		}
	}
	return nil, errNoNumber
}

// limitLines names, for each constant of the program that the operators' table has a line
// about, that line; after the constant stands the unit in which the table tells it.
var limitLines = map[string]string{
	"resolver.maxEDNSUDP":               "bytes of an answer over UDP",
	"blocklists.MaxNameLen":             "length of a name, in bytes",
	"resolver.maxHTTPHeader bytes":      "header of a DoH request",
	"resolver.handshakesBeyond":         "clients of DoQ, and of HTTP/3, that are agreeing on keys beside the connections that may be open",
	"resolver.handshakesOfClient":       "one client's that are agreeing on keys so",
	"resolver.maxBodies":                "bodies of DoH requests and questions of DoQ that are waited for, and requests over HTTP/3 until they are answered, some 18 kB each",
	"resolver.maxBodiesPerClient":       "such bodies, questions and requests of one client",
	"resolver.bodiesOfNewcomer":         "such bodies, questions and requests of a client while all places are taken",
	"resolver.streamsPerConn":           "questions at once on one HTTP/2, HTTP/3 or DoQ connection",
	"resolver.maxProxy":                 "PROXY v2 header, after its fixed part, in bytes",
	"resolver.maxHops":                  "addresses in X-Forwarded-For or Forwarded that are read, from the end",
	"resolver.guessBurst":               "wrong tokens from one network at once; one more each 10 s",
	"resolver.maxRecords":               "local records",
	"resolver.maxChain":                 "CNAMEs of a local record in a row",
	"resolver.maxRoutes":                "domains with upstreams of their own",
	"upstream.maxAddrs":                 "addresses, and pinned keys, of one upstream",
	"upstream.maxStreams":               "connections to one upstream",
	"resolver.maxZoneAddrs":             "name servers, and public addresses, of the server's name",
	"resolver.maxZoneIssuers":           "certificate authorities under `acme: caa`",
	"resolver.maxUnknown":               "unknown devices that are remembered",
	"resolver.maxUnknownPerFamily":      "unknown devices of one family that are remembered",
	"resolver.maxNeighbours":            "neighbours whose hardware address is known",
	"main.maxLeaseFile bytes":           "file of leases",
	"blocklists.Limits.Body bytes":      "list, as it is downloaded",
	"blocklists.Limits.Inflated bytes":  "list, unpacked",
	"blocklists.Limits.Ratio":           "bytes unpacked for each byte downloaded",
	"blocklists.Limits.Lines":           "lines of a list",
	"blocklists.Limits.Members":         "files in an archive",
	"blocklists.Limits.Time time":       "time for a list at one place",
	"blocklists.Limits.Stall time":      "time without a byte",
	"blocklists.Limits.Tries":           "tries at one place",
	"blocklists.Limits.Resumes":         "times that one download goes on after a cut",
	"blocklists.maxRedirects":           "redirects",
	"blocklists.maxMirrors":             "mirrors of a list",
	"blocklists.maxPatterns":            "patterns of a list, and of all lists",
	"blocklists.maxRegexpLen":           "length of a regular expression, in bytes",
	"blocklists.maxCancels":             "rules of a list that cancel others",
	"blocklists.maxDenyAllow":           "names that one rule excepts",
	"blocklists.MaxCatalogueFile bytes": "edition of the catalogue",
	"policy.MaxGuardians":               "guardians of a family",
	"policy.MaxProfiles":                "profiles of a family",
	"policy.MaxDevices":                 "devices of a family",
	"policy.MaxClues":                   "clues of a device, of each kind",
	"policy.MaxNetworks":                "networks of a family",
	"policy.MaxRules":                   "rules of a family",
	"policy.MaxChoices":                 "choices of a profile, of each kind",
	"policy.MaxSchedules":               "schedules of a profile",
	"policy.MaxWindows":                 "windows of a schedule, or of one day of it",
	"policy.MaxExceptions":              "exceptions of a schedule",
	"policy.MaxHolidays":                "holidays of a family",
	"policy.MaxGrants":                  "grants of a family at a time",
	"policy.MaxGrant time":              "a grant",
	"policy.MaxName":                    "a name that people give, in characters",
	"policy.MaxText":                    "a reason or note, in characters",
	"policy.MaxDelay minutes":           "time that a loosening waits",
	"policy.MaxRetention":               "days for which incidents are kept",
	"policy.maxToken":                   "bytes of a token",
	"store.KeptChanges":                 "changes that are kept of a family",
	"store.MaxPending":                  "changes that wait, of a family",
	"main.maxDeclared bytes":            "size of a file for `families apply`",
	"store.requestsAnHour":              "requests of one device within an hour",
	"store.requestsOfChild":             "open requests of one profile",
	"store.openRequests":                "open requests of a family",
	"store.keptRequests":                "requests that are kept of a family",
	"store.requestExpires time":         "time for which a request is open",
	"console.asksEach":                  "asks on the pages of a device within 10 minutes",
	"console.maxMessage":                "what a child may say with it, in characters",
	"journal.defaultOpen":               "incidents that are open at a time",
	"journal.defaultHeld":               "incidents that wait for the database in memory",
	"journal.maxNames":                  "names, and kinds of questions, that an incident remembers",
	"journal.MaxLimit":                  "incidents in one answer",
	"main.maxExported":                  "incidents in an export by command",
	"main.maxFile":                      "incidents in an export by console or API",
	"main.maxViews":                     "looks that `incidents views` shows",
	"signals.maxThings":                 "services that a profile's signals remember",
	"signals.maxCells":                  "pairs of device and domain watched for tunnels, in 0.7 MB",
	"store.maxChannels":                 "ways to one guardian, or to a household",
	"main.maxTests":                     "tests of such ways that a guardian sends within 10 minutes",
	"alerts.expireAfter time":           "time for which a message is tried",
	"alerts.atOnce":                     "deliveries at a time",
	"console.minPassword":               "password, in characters, at least",
	"console.maxPassword":               "password, in bytes, at most",
	"console.wrongPerPlace":             "wrong passwords from one network within 15 minutes",
	"console.wrongPerName":              "wrong passwords for one name within 15 minutes",
	"console.wrongPerKnown":             "wrong passwords from a browser that has signed in before, within 15 minutes",
	"console.wrongAltogether":           "wrong passwords in all within 15 minutes",
	"console.wrongPerCode":              "wrong codes at the second step of one account within 15 minutes",
	"console.hashing":                   "passwords checked at a time",
	"console.waiting":                   "passwords that wait for it",
	"console.sessionIdle time":          "session without use",
	"console.sessionLife time":          "session",
	"console.operatorIdle time":         "session of an operator without use",
	"console.operatorLife time":         "session of an operator",
	"main.passLife time":                "link that makes an account or resets a password",
	"main.inviteLife time":              "invitation",
	"store.maxPasses":                   "invitations of a family that wait",
	"store.maxPasskeys":                 "passkeys of an account",
	"console.maxChallenges":             "sign-ins by passkey under way",
	"store.MaxTokens":                   "programs with access, of an account",
	"console.rateBurst":                 "requests of a program at once",
	"console.ratePerMinute":             "requests of a program a minute",
	"console.maxLimit":                  "items in an answer of the API",
	"console.maxForm bytes":             "form of a page, and body of a request to the API",
	"console.maxChildForm bytes":        "form of a child's page",
	"main.maxPendingRequest bytes":      "change that waits, as a request",
	"console.maxStreams":                "pages, or programs, of one guardian that are told of changes",
	"main.maxWatchers":                  "pages of one family that are told of changes",
	"console.ticketsEach":               "codes for setting up a device, of a family at a time",
	"main.maxWatches":                   "devices of a family that are checked at a time",
	"main.maxFailures":                  "reports of a router with a wrong password, of one network within 10 minutes",
	"main.linkLife time":                "address of a home that its router reported",
	"main.maxRequest bytes":             "request of a command to the server",
	"main.maxBackup bytes":              "backup, unpacked",
	"main.maxBackupFiles":               "files in a backup",
}

// noLimits are constants that are called like limits and that nobody outside meets
// as one, with the reason.
var noLimits = map[string][]string{
	"bounds of a wait between two tries":                              {"alerts.maxBackoff", "certs.mostPause", "journal.maxBackoff", "journal.maxRest", "spool.maxBackoff"},
	"how many of something a text or a drawing shows":                 {"alerts.mostSignals", "alerts.mostTold", "signals.maxOthers", "main.maxSeen"},
	"how much of an answer is read before a connection is used again": {"alerts.mostAnswer"},
	"sizes of a file or format of the program's own, checked when it is read": {
		"blocklists.MaxGroups", "blocklists.maxIndexHeader", "blocklists.maxIndexWords", "blocklists.maxPackFiles", "blocklists.maxVersion",
		"policy.MaxEngines", "policy.maxPlaces", "policy.maxTableDepth", "spool.maxRingFile", "spool.maxString", "spool.maxFrame", "blocklists.maxText", "resolver.maxPacked", "console.maxCursor",
	},
	"parts of the limit of patterns, of which the table tells": {
		"blocklists.maxDenyAllowAll", "blocklists.maxLiterals", "blocklists.maxRegexpSize", "blocklists.maxRegexpTotal", "blocklists.maxRegexpTried", "blocklists.maxUnfiltered",
	},
	"how far something is looked into; beyond it an answer is right, too": {"blocklists.MaxHidden", "policy.maxSteps", "signals.mostLabels", "signals.maxBatches"},
	"a batch or a part of a cache, which begins anew":                     {"journal.maxRepeats", "journal.maxSeen", "resolver.maxShards", "signals.maxFound", "main.maxTallied"},
	"said by a protocol":                                         {"blocklists.MaxLabels", "resolver.maxLabel", "resolver.maxMessage", "resolver.maxPlainUDP", "resolver.maxTTL", "resolver.maxNegative", "resolver.maxForeignLen", "resolver.maxSegments", "resolver.maxTogether"},
	"the second half of a line of the table":                     {"journal.maxTypes", "main.maxIncidents", "main.maxMessage", "signals.maxClients", "signals.maxRecent"},
	"the end of what a key can be set to, which its error names": {"resolver.MaxLeastTTL"},
	"what others order beside an order of this server's":         {"resolver.maxChallenges"},
	"the line's length of the API's words":                       {"console.maxWords"},
}

// fixedRow matches a line of the operators' table that has no key.
var fixedRow = regexp.MustCompile(`(?m)^\| ([^|]+) \| fixed \| ([^|]+) \| ([^|]+) \| [^|]+ \|$`)

// TestFixedLimits holds the lines of the operators' table that cannot be set against
// the program's constants, both ways: a constant that is called like a limit has a
// line, or a reason why not.
func TestFixedLimits(t *testing.T) {
	all := readConstants(t)
	told := map[string]bool{}
	byLabel := map[string]struct{ name, unit string }{}
	for constant, label := range limitLines {
		l := byLabel[label]
		l.name, l.unit, _ = strings.Cut(constant, " ")
		byLabel[label] = l
	}
	for _, m := range fixedRow.FindAllStringSubmatch(readFile(t, "docs/operators.md"), -1) {
		label, says := m[1], m[2]
		if strings.HasPrefix(label, "alerts an hour on each channel") {
			if want := fmt.Sprint(alerts.DefaultPreferences().PerHour); says != want {
				t.Errorf("%s: the table says %s, it is %s", label, says, want)
			}
			continue
		}
		limit, ok := byLabel[label]
		if !ok {
			t.Errorf("the line %q is about no constant that is known", label)
			continue
		}
		told[limit.name] = true
		v, ok := all[limit.name]
		if !ok {
			t.Errorf("%s: there is no constant %s", label, limit.name)
			continue
		}
		if want := inUnit(v, limit.unit); says != want {
			t.Errorf("%s: the table says %s, %s is %s", label, says, limit.name, want)
		}
	}
	for label, limit := range byLabel {
		if !told[limit.name] {
			t.Errorf("the table has no line %q", label)
		}
	}
	for reason, names := range noLimits {
		for _, name := range names {
			if told[name] {
				t.Errorf("%s has a line and a reason to have none: %s", name, reason)
			}
			if _, ok := all[name]; !ok && !strings.HasPrefix(name, "policy.maxPlaces") && name != "spool.maxFrame" && name != "blocklists.MaxLabels" {
				t.Errorf("there is no constant %s", name)
			}
			told[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if regexp.MustCompile(`\.(max|Max|most|Most|Limits\.)[A-Z]`).MatchString(name) && !told[name] {
			t.Errorf("%s (%s) is called like a limit: give it a line in the table of docs/operators.md, or a reason in noLimits", name, all[name])
		}
	}
}

// inUnit writes a constant as the table does.
func inUnit(v constant.Value, unit string) string {
	n, _ := constant.Int64Val(constant.ToInt(v))
	switch unit {
	case "minutes":
		n *= int64(time.Minute)
		fallthrough
	case "time":
		d := time.Duration(n)
		if d > 24*time.Hour && d%(24*time.Hour) == 0 && d != 72*time.Hour {
			return fmt.Sprintf("%d days", d/(24*time.Hour))
		}
		return strings.NewReplacer("m0s", "m", "h0m0s", "h").Replace(d.String())
	case "bytes":
		for _, u := range []struct {
			size int64
			name string
		}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
			if n >= u.size && n%u.size == 0 {
				return fmt.Sprintf("%d %s", n/u.size, u.name)
			}
		}
	}
	text := fmt.Sprint(n)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

func TestInUnit(t *testing.T) {
	for _, tt := range []struct {
		n          int64
		unit, want string
	}{
		{12345, "", "12,345"},
		{64 << 10, "bytes", "64 KiB"},
		{4 << 20, "bytes", "4 MiB"},
		{int64(15 * time.Minute), "time", "15m"},
		{int64(24 * time.Hour), "time", "24h"},
		{7 * 1440, "minutes", "7 days"},
		{int64(30 * time.Second), "time", "30s"},
	} {
		if got := inUnit(constant.MakeInt64(tt.n), tt.unit); got != tt.want {
			t.Errorf("%d %s is written %s, want %s", tt.n, tt.unit, got, tt.want)
		}
	}
}
