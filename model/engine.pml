/* The engine as a model for spin: what of append, claim, expiry, heartbeat and settlement can meet
 * in any order. README.md says which function is which inline, and what is left out.
 *
 * One statement of SQL is one atomic step. Under READ COMMITTED it sees what was committed before
 * it, and what its own transaction wrote; so what a transaction writes to the ledger and the
 * journal is kept by its process and published when it commits. Rows of the log carry the number of
 * their transaction, for the windows of the cursor are made of those.
 *
 * Sizes (set with -D): PRODUCERS, CLAIMERS, CLAIMS each, REPORTS, BEATS, TICKS, ABORTS.
 * Broken on purpose: CURSOR_BY_SEQ, SETTLE_WITHOUT_LOCK, EXPIRY_WITHOUT_RECHECK, and two more traps,
 * OWN_XID_UNLISTED, CARRIED_UNSEEN.
 */

#ifndef PRODUCERS
#define PRODUCERS 2
#endif
#ifndef CLAIMERS
#define CLAIMERS 2
#endif
#ifndef CLAIMS
#define CLAIMS 1
#endif
#ifndef REPORTS
#define REPORTS 1
#endif
#ifndef BEATS
#define BEATS 1
#endif
#ifndef TICKS
#define TICKS 1
#endif
#ifndef ABORTS
#define ABORTS 1
#endif

#define EMITTED PRODUCERS        /* the event that the completion of event 0 emits */
#define EVENTS (PRODUCERS + 1)
#define ATTEMPTS 2               /* the last one that expires is a dead letter */
#define XIDS 16
#define DELIVERIES 8             /* 1 .. 7: a set of them is a byte */
#define ROWS 12
#define TOKENS 8

#define RUNNING 1
#define COMMITTED 2
#define ABORTED 3

#define has(set, i) (((set) >> (i)) & 1)

/* --- the server ------------------------------------------------------------------------------ */

byte status[XIDS];               /* of each transaction; number 0 is none */
byte next_xid = 1;
byte aborts;                     /* how many transactions have been rolled back */

typedef Snapshot {
    byte xmax;                   /* transactions from here on had not begun */
    short open                   /* those before it that had not ended */
};

#define passed(snap, x) ((x) < snap.xmax && !has(snap.open, x))   /* pg_visible_in_snapshot */

inline assign_xid() {
    if
    :: own == 0 ->
        own = next_xid;
        assert(next_xid < XIDS);
        status[own] = RUNNING;
        next_xid++
    :: else
    fi
}

/* --- tables ---------------------------------------------------------------------------------- */

/* log: by delivery number, which is drawn from a sequence */
byte next_delivery = 1;
byte log_xid[DELIVERIES];
byte log_event[DELIVERIES];
byte log_attempt[DELIVERIES];

/* lease: the ledger of the one lane. Only the newest row's cursor is ever read. */
typedef Cursor {
    Snapshot prev;
    Snapshot snap;
    byte last_xid;
    byte last_delivery;
    bool exhausted
};
Cursor head;
byte open_from;
byte rows;
byte row_token[ROWS];            /* 0: a row that leases nothing */
byte row_held[ROWS];             /* which deliveries */
bool row_carried[ROWS];
byte tokens;
byte lapsed;                     /* rows before this one have expired: expiry grows along a lane */

/* closure: the journal, by token */
byte closed[TOKENS];

/* advisory locks, by process */
byte lane_lock;
byte lease_lock[TOKENS];

/* --- what must hold -------------------------------------------------------------------------- */

byte handed_out;                 /* deliveries that some committed lease was made of */
byte outcomes[EVENTS];           /* completed or dead, as committed */
bool accepted[EVENTS];           /* its dispatch, or the settlement that emitted it, was committed */

#define never_twice(e) assert(outcomes[e] <= 1)

/* --- arvo.append, arvo.again ------------------------------------------------------------------ */

inline append(event, attempt) {
    assert(next_delivery < DELIVERIES);
    log_xid[next_delivery] = own;
    log_event[next_delivery] = event;
    log_attempt[next_delivery] = attempt;
    next_delivery++
}

/* arvo_v1.dispatch within a transaction of the application's: it may have its number long before
 * the event has its own, or after, and it ends when it likes. */
proctype Producer(byte event) {
    byte own, number;
    if
    :: d_step { assign_xid() } ; d_step { append(event, 1) }
    :: d_step { number = next_delivery; next_delivery++ } ;
        d_step {
            assign_xid();
            log_xid[number] = own;
            log_event[number] = event;
            log_attempt[number] = 1
        }
    fi;
    number = 0;
    if
    :: d_step { status[own] = COMMITTED; accepted[event] = true; own = 0 }
    :: d_step { aborts < ABORTS -> aborts++; status[own] = ABORTED; own = 0 }
    fi
}

/* --- arvo.sweep ------------------------------------------------------------------------------- */

/* Which rows have expired: one statement, before any lease is locked. */
inline find_expired() {
    upto = (lapsed > open_from -> lapsed : open_from);
    found = 0;
    n = open_from;
    do
    :: n < upto ->
        if
        :: row_token[n] != 0 && (row_carried[n] || (row_held[n] & ~closed[row_token[n]])) ->
            found = found | (1 << n)
        :: else
        fi;
        n++
    :: else -> break
    od;
    blocked = upto;
    n = open_from
}

#ifdef EXPIRY_WITHOUT_RECHECK
#define still_open(n) seen[n]
#define to_remember(n) (has(found, n) -> row_held[n] & ~closed[row_token[n]] : 0)
#define SEEN byte seen[ROWS];
#else
#define still_open(n) (row_held[n] & ~closed[row_token[n]])
#define SEEN
#endif
#ifdef CARRIED_UNSEEN
#define carried_on(m, n) false
#else
#define carried_on(m, n) (row_token[m] == row_token[n])
#endif

/* Under the lease's lock, in statements of their own: has it been carried on, is it open still? */
inline take_back() {
    open = still_open(n);
    m = n + 1;
    do
    :: m < rows -> if :: carried_on(m, n) -> open = 0 :: else fi; m++
    :: else -> break
    od;
    if
    :: open ->
        assign_xid();
        expired[row_token[n]] = expired[row_token[n]] | open;
        m = 1;
        do
        :: m < DELIVERIES ->
            if
            :: has(open, m) && log_attempt[m] < ATTEMPTS -> append(log_event[m], log_attempt[m] + 1)
            :: has(open, m) && log_attempt[m] >= ATTEMPTS -> buried = buried | (1 << m)
            :: else
            fi;
            m++
        :: else -> break
        od
    :: else
    fi;
    m = 0; open = 0
}

/* --- arvo.read_window, arvo.window_snapshot --------------------------------------------------- */

#ifdef OWN_XID_UNLISTED
#define listed(x) (status[x] == RUNNING && x != own)
#else
#define listed(x) (status[x] == RUNNING)
#endif

inline window_snapshot() {
    c.snap.xmax = next_xid;
    c.snap.open = 0;
    m = 1;
    do
    :: m < next_xid ->
        if
        :: listed(m) -> c.snap.open = c.snap.open | (1 << m)
        :: else
        fi;
        m++
    :: else -> break
    od;
    m = 0
}

/* Rows of the log of the window between c.prev and c.snap, behind its position, in order of
 * transaction, then delivery; at most `limit`. Late transactions, those that c.prev lists as open,
 * have lower numbers than all others: they come first by themselves. */
#ifdef CURSOR_BY_SEQ
#define belongs(d) (status[log_xid[d]] == COMMITTED && d > c.last_delivery)
#define before(d, other) (d < other)
#define FIRST_DELIVERY c.last_delivery
#else
#define FIRST_DELIVERY 0
#define belongs(d) (status[log_xid[d]] == COMMITTED \
    && passed(c.snap, log_xid[d]) && !passed(c.prev, log_xid[d]) \
    && (log_xid[d] > c.last_xid || (log_xid[d] == c.last_xid && d > c.last_delivery)))
#define before(d, other) \
    (log_xid[d] < log_xid[other] || (log_xid[d] == log_xid[other] && d < other))
#endif

inline scan() {
    batch = 0;
    taken = 0;
    do
    :: taken < limit ->
        best = 0;
        m = 1;
        do
        :: m < next_delivery ->
            if
            :: log_xid[m] != 0 && !has(batch, m) && belongs(m) && (best == 0 || before(m, best)) ->
                best = m
            :: else
            fi;
            m++
        :: else -> break
        od;
        if
        :: best ->
            batch = batch | (1 << best);
            to_xid = log_xid[best];
            to_delivery = best;
            taken++
        :: else -> break
        fi
    :: else -> break
    od;
    m = 0; best = 0
}

inline read_window() {
    c.prev.xmax = head.prev.xmax; c.prev.open = head.prev.open;
    c.snap.xmax = head.snap.xmax; c.snap.open = head.snap.open;
    c.last_xid = head.last_xid; c.last_delivery = head.last_delivery;
    c.exhausted = head.exhausted;
    batch = 0; taken = 0;
    if
    :: !c.exhausted -> scan()
    :: else
    fi;
    if
    :: batch == 0 ->                       /* used up: the next window, in the same call */
        c.prev.xmax = c.snap.xmax; c.prev.open = c.snap.open;
        window_snapshot();
        c.last_xid = 0;
        c.last_delivery = FIRST_DELIVERY;
        scan();
        /* Nothing found: then nothing that can be seen has been left behind. */
        m = 1;
        do
        :: m < next_delivery ->
            assert(batch != 0 || log_xid[m] == 0 || status[log_xid[m]] != COMMITTED
                || has(handed_out, m));
            m++
        :: else -> break
        od;
        m = 0
    :: else
    fi;
    if
    :: batch -> c.last_xid = to_xid; c.last_delivery = to_delivery; c.exhausted = (taken < limit)
    :: else
    fi;
    to_xid = 0; to_delivery = 0
}

/* --- commit of a claim: arvo.write_lease, arvo.move_cursor, and what arvo.sweep wrote ----------- */

inline publish_claim() {
    if
    :: own != 0 || batch != 0 || blocked > open_from ->
        assign_xid();
        status[own] = COMMITTED;
        m = 1;
        do
        :: m <= tokens ->
            closed[m] = closed[m] | expired[m];
            m++
        :: else -> break
        od;
        m = 1;
        do
        :: m < DELIVERIES ->
            if
            :: has(buried, m) -> outcomes[log_event[m]]++; never_twice(log_event[m])
            :: log_xid[m] == own ->        /* no event runs again once it has its outcome */
                assert(outcomes[log_event[m]] == 0)
            :: else
            fi;
            m++
        :: else -> break
        od;
        if
        :: batch != 0 || blocked > open_from ->
            assert(rows < ROWS);
            open_from = blocked;
            if
            :: batch ->
                assert(!(batch & handed_out));     /* a delivery is read once */
                handed_out = handed_out | batch;
                tokens++;
                assert(tokens < TOKENS);
                row_token[rows] = tokens;
                row_held[rows] = batch;
                head.prev.xmax = c.prev.xmax; head.prev.open = c.prev.open;
                head.snap.xmax = c.snap.xmax; head.snap.open = c.snap.open;
                head.last_xid = c.last_xid; head.last_delivery = c.last_delivery;
                head.exhausted = c.exhausted
            :: else
            fi;
            rows++
        :: else
        fi;
        /* What was passed by is closed, or held by a row that has not been passed. */
        n = 0;
        do
        :: n < open_from ->
            m = n + 1;
            open = row_held[n] & ~closed[row_token[n]];
            do
            :: m < rows -> if :: row_token[m] == row_token[n] -> open = 0 :: else fi; m++
            :: else -> break
            od;
            assert(open == 0);
            n++
        :: else -> break
        od
    :: else
    fi
}

inline release_all() {
    m = 1;
    do
    :: m < TOKENS ->
        if :: lease_lock[m] == _pid -> lease_lock[m] = 0 :: else fi;
        expired[m] = 0;
        m++
    :: else -> break
    od;
    if :: lane_lock == _pid -> lane_lock = 0 :: else fi;
    own = 0; n = 0; m = 0; upto = 0; found = 0; blocked = 0; open = 0; buried = 0;
    batch = 0; taken = 0; limit = 0;
    c.prev.xmax = 0; c.prev.open = 0; c.snap.xmax = 0; c.snap.open = 0;
    c.last_xid = 0; c.last_delivery = 0; c.exhausted = 0
}

/* --- arvo_v1.claim: arvo.claim_lane, which begins with arvo.heal -------------------------------- */

#ifdef EXPIRY_WITHOUT_RECHECK
inline remember() {
    m = 0;
    do
    :: m < ROWS -> seen[m] = to_remember(m); m++
    :: else -> break
    od;
    m = 0
}
#else
inline remember() { skip }
#endif

inline claim() {
    /* A lane that is busy is left alone: nothing happens. So only the claim that gets it counts. */
    atomic { lane_lock == 0 -> lane_lock = _pid };
    d_step { find_expired(); remember() };
    do
    :: n < upto && has(found, n) ->
        if
        :: d_step { lease_lock[row_token[n]] == 0 || lease_lock[row_token[n]] == _pid ->
                lease_lock[row_token[n]] = _pid } ;
            d_step { take_back(); n++ }
        :: d_step { lease_lock[row_token[n]] != 0 && lease_lock[row_token[n]] != _pid ->
                blocked = (n < blocked -> n : blocked); n++ }
        fi
    :: n < upto && !has(found, n) -> n++
    :: n >= upto -> break
    od;
    if
    :: limit = 1
    :: limit = 2
    fi;
    d_step { read_window() };
    if
    :: d_step { publish_claim(); release_all() }
    :: d_step { aborts < ABORTS && (own != 0 || batch != 0) ->
            aborts++;
            if :: own != 0 -> status[own] = ABORTED :: else fi;
            release_all() }
    fi
}

#define CLAIM_LOCALS \
    byte own, n, m, upto, blocked, open, buried, limit, batch, taken, best, to_xid, to_delivery; \
    short found; \
    byte expired[TOKENS]; \
    Cursor c; \
    SEEN

proctype Claimer() {
    CLAIM_LOCALS
    byte round;
    do
    :: round < CLAIMS -> claim(); round++
    :: break
    od
}

/* --- arvo_v1.settle: arvo.close_one, arvo.close_plain, arvo.judge_results ----------------------- */

/* What the newest row of a lease holds, of that what nobody has closed. */
inline look_up() {
    open = 0;
    m = 0;
    do
    :: m < rows -> if :: row_token[m] == token -> open = row_held[m] :: else fi; m++
    :: else -> break
    od;
    open = open & ~closed[token];
    m = 0
}

inline publish_settlement() {
    status[own] = COMMITTED;
    closed[token] = closed[token] | open;
    m = 1;
    do
    :: m < DELIVERIES ->
        if
        :: has(open, m) -> outcomes[log_event[m]]++; never_twice(log_event[m])
        :: log_xid[m] == own -> accepted[EMITTED] = true
        :: else
        fi;
        m++
    :: else -> break
    od
}

#ifdef SETTLE_WITHOUT_LOCK
#define lock_lease() skip
#else
#define lock_lease() atomic { lease_lock[token] == 0 -> lease_lock[token] = _pid }
#endif

/* Any lease, at any time, by whoever thinks that it is still his; the whole of it or one delivery. */
proctype Settler() {
    byte own, token, open, m, asked, reports;
    do
    :: reports < REPORTS && tokens > 0 ->
        reports++;
        token = 1;
        do
        :: token < tokens -> token++
        :: break
        od;
        lock_lease();
        d_step { look_up() };
        if
        :: asked = 255
        :: open != (open & -open) -> asked = open & -open
        fi;
        d_step {
            open = open & asked;
            if
            :: open ->
                assign_xid();
                m = 1;
                do
                :: m < DELIVERIES ->
                    if
                    :: has(open, m) && log_event[m] == 0 -> append(EMITTED, 1); break
                    :: else -> m++
                    fi
                :: else -> break
                od
            :: else
            fi;
            m = 0
        };
        if
        :: d_step { open -> publish_settlement(); if :: lease_lock[token] == _pid -> lease_lock[token] = 0 :: else fi; own = 0; open = 0; m = 0; asked = 0; token = 0 }
        :: d_step { open && aborts < ABORTS -> aborts++; status[own] = ABORTED; if :: lease_lock[token] == _pid -> lease_lock[token] = 0 :: else fi; own = 0; open = 0; asked = 0; token = 0 }
        :: d_step { !open -> if :: lease_lock[token] == _pid -> lease_lock[token] = 0 :: else fi; asked = 0; token = 0 }
        fi
    :: break
    od
}

/* --- arvo_v1.extend ---------------------------------------------------------------------------- */

proctype Heart() {
    byte own, token, open, m, beats;
    do
    :: beats < BEATS && tokens > 0 ->
        beats++;
        token = 1;
        do
        :: token < tokens -> token++
        :: break
        od;
        atomic { lease_lock[token] == 0 -> lease_lock[token] = _pid };
        d_step { look_up() };
        if
        :: open ->
            atomic { lane_lock == 0 -> lane_lock = _pid };
            d_step { assign_xid() };
            if
            :: d_step {                    /* the cursor stays what the newest row says */
                    assert(rows < ROWS);
                    status[own] = COMMITTED;
                    row_token[rows] = token; row_held[rows] = open; row_carried[rows] = true;
                    rows++ }
            :: d_step { aborts < ABORTS -> aborts++; status[own] = ABORTED }
            fi;
            d_step { lane_lock = 0; lease_lock[token] = 0; own = 0; open = 0; token = 0 }
        :: else -> d_step { lease_lock[token] = 0; token = 0 }
        fi
    :: break
    od
}

/* --- time --------------------------------------------------------------------------------------- */

proctype Clock() {
    byte ticks;
    do
    :: d_step { ticks < TICKS && lapsed < rows -> ticks++; lapsed++ }
    :: break
    od
}

/* --- the end: everybody has stopped; who comes now must find all that is not finished ----------- */

init {
    CLAIM_LOCALS
    byte token, asked;
    d_step {                               /* the first row of a ledger: a window that is used up */
        head.prev.xmax = 1;
        head.snap.xmax = 1;
        head.exhausted = true;
        rows = 1;
        lapsed = 1
    };
    atomic {
        n = 0;
        do
        :: n < PRODUCERS -> run Producer(n); n++
        :: else -> break
        od;
        n = 0;
        do
        :: n < CLAIMERS -> run Claimer(); n++
        :: else -> break
        od;
        n = 0;
        run Settler();
        run Heart();
        run Clock()
    };
    _nr_pr == 1;
    d_step { aborts = ABORTS };
    do
    :: n = 0;
        d_step { token = tokens; lapsed = rows; asked = next_delivery };
        claim();
        if
        :: tokens == token && asked == next_delivery -> break
        :: tokens != token ->
            d_step {                       /* a worker that does its work */
                token = tokens;
                look_up();
                assign_xid();
                m = 1;
                do
                :: m < DELIVERIES ->
                    if
                    :: has(open, m) && log_event[m] == 0 -> append(EMITTED, 1); break
                    :: else -> m++
                    fi
                :: else -> break
                od;
                publish_settlement();
                own = 0; open = 0; m = 0
            }
        :: else
        fi
    od;
    skip;
    d_step {
        n = 0;
        do
        :: n < EVENTS -> assert(outcomes[n] == accepted[n]); n++
        :: else -> break
        od
    }
}
