package main

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/viper"

	"kinward/blocklists"
)

// viper alone lets much pass: 5.9 becomes 5, '' becomes 0, "port" and "Port"
// are one key, an unknown key is dropped. What a filter is told must not be
// guessed at, so the file is checked against the config struct before viper
// layers it with the environment and the flags.

// configKey is one setting that has a value, e.g. "cache::min-ttl".
type configKey struct {
	name  string // levels joined by keySep
	value any    // the default
}

// flag returns the name of the key's flag; only top-level keys have one.
func (k configKey) flag() string { return strings.ReplaceAll(k.name, keySep, "-") }

// env returns the name of the key's variable, e.g. KINWARD_CACHE_MIN_TTL.
func (k configKey) env() string {
	return "KINWARD_" + strings.ToUpper(strings.NewReplacer(keySep, "_", "-", "_").Replace(k.name))
}

// configKeys lists every setting with its default.
func configKeys() []configKey {
	return appendKeys(nil, "", reflect.ValueOf(defaultConfig()))
}

func appendKeys(keys []configKey, prefix string, v reflect.Value) []configKey {
	for i := range v.NumField() {
		name := prefix + v.Type().Field(i).Tag.Get("yaml")
		if f := v.Field(i); f.Kind() == reflect.Struct {
			keys = appendKeys(keys, name+keySep, f)
		} else {
			keys = append(keys, configKey{name, f.Interface()})
		}
	}
	return keys
}

// checkYAML checks a configuration; see strictYAML.
func checkYAML(path string, text []byte) error {
	if err := strictYAML(text, reflect.TypeFor[config](), "the configuration"); err != nil {
		return fmt.Errorf("reading configuration %s: %w", path, err)
	}
	return nil
}

// kubernetesEnv matches what Kubernetes sets by itself for a service that is
// called kinward.
var kubernetesEnv = regexp.MustCompile(`^KINWARD_(SERVICE_|PORT(_|$))`)

// bindEnvironment gives viper the KINWARD_… variables of environ. A variable
// that sets nothing is an error: a typing mistake must not leave a filter with
// its defaults. KINWARD_CONFIG names the file and is read elsewhere.
func bindEnvironment(v *viper.Viper, keys []configKey, environ []string) error {
	var names []string
	for _, k := range keys {
		names = append(names, k.env())
	}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		// In another case it is somebody's mistake, too, and not to be passed over.
		if !strings.HasPrefix(strings.ToUpper(name), "KINWARD_") || name == "KINWARD_CONFIG" || kubernetesEnv.MatchString(name) {
			continue
		}
		i := slices.Index(names, name)
		if i < 0 {
			return fmt.Errorf("reading the environment: there is no variable %s; did you mean %s?", name, blocklists.Nearest(strings.ToUpper(name), names))
		}
		parsed, err := parseEnv(value, keys[i].value)
		if err != nil {
			return fmt.Errorf("reading the environment: %s: %w", name, err)
		}
		v.Set(keys[i].name, parsed)
	}
	return nil
}

// parseEnv reads a variable as the type of the key's default. Lists are
// separated by commas.
func parseEnv(value string, like any) (any, error) {
	switch like.(type) {
	case []string:
		var items []string
		for item := range strings.SplitSeq(value, ",") {
			if item = strings.TrimSpace(item); item != "" {
				items = append(items, item)
			}
		}
		return items, nil
	case []forwardConfig:
		return nil, errors.New("domains with upstreams of their own can only stand in the file")
	case int:
		n, err := strconv.Atoi(value)
		if err != nil {
			return nil, fmt.Errorf("%q is not a whole number", value)
		}
		return n, nil
	case bool:
		b, err := strconv.ParseBool(value)
		if err != nil {
			return nil, fmt.Errorf("%q is not true or false", value)
		}
		return b, nil
	}
	return value, nil
}
