package certs

import (
	"context"
	"log/slog"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// zapLogger returns what certmagic logs to. It tells of every step, so all of it is
// at level debug here; failures are told by the keeper, once.
func zapLogger(to *slog.Logger) *zap.Logger { return zap.New(&zapCore{to: to}) }

type zapCore struct {
	to   *slog.Logger
	with []zapcore.Field
}

func (c *zapCore) Enabled(zapcore.Level) bool {
	return c.to.Enabled(context.Background(), slog.LevelDebug)
}

func (c *zapCore) With(f []zapcore.Field) zapcore.Core {
	return &zapCore{c.to, append(append([]zapcore.Field(nil), c.with...), f...)}
}

func (c *zapCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

func (c *zapCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	m := zapcore.NewMapObjectEncoder()
	for _, f := range append(append([]zapcore.Field(nil), c.with...), fields...) {
		f.AddTo(m)
	}
	c.to.Debug("acme: "+e.Message, "logger", e.LoggerName, "fields", m.Fields)
	return nil
}

func (c *zapCore) Sync() error { return nil }
