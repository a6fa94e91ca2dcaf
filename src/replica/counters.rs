//! What a replica counts, for operators, and for the simulator to know that rare paths were taken.

use crate::counters::counters;

counters! {
    pub struct Counters {
        /// Datagrams that were sent, counted once per receiver.
        datagrams_sent,
        /// Datagrams that were accepted.
        datagrams_accepted,
        /// Datagrams that could not be opened or read: malformed, foreign, replayed, corrupt.
        datagrams_dropped,
        /// Of those: seen before, or too old to tell.
        datagrams_replayed,
        /// Of those: of an earlier incarnation of their sender.
        datagrams_of_old_incarnations,
        /// Datagrams whose chunks belong to another view.
        datagrams_of_other_views,
        /// Heartbeats sent, counted once for all receivers.
        heartbeats_sent,
        /// Own messages multicast.
        messages_sent,
        /// Messages that arrived and were held already.
        messages_duplicate,
        /// Messages that arrived too far ahead and were dropped.
        beyond_window,
        /// Names of no member's incarnation.
        foreign_names,
        /// Numberings that contradict known ones: a member broke the rules.
        conflicting_numberings,
        /// Entries whose operations could not be read.
        unreadable_payloads,
        /// Sequence numbers given out.
        numbers_given,
        /// Turns that waited because numbers would have run too far ahead.
        turns_held_by_window,
        /// Messages that waited because too many earlier ones were unnumbered.
        messages_held_by_window,
        /// Missing things noticed.
        gaps_seen,
        /// NACK chunks sent.
        nacks_sent,
        /// NACK chunks received.
        nacks_received,
        /// Messages resent on request.
        messages_resent,
        /// Of those: by another than their origin.
        messages_resent_by_third,
        /// Numberings resent on request.
        numberings_resent,
        /// Of those: by another than the one who gave the number.
        numberings_resent_by_third,
        /// Requests not answered because of the budget, or because the answer was just sent.
        resends_held_back,
        /// Own messages resent to the member whose turn it is, because they stayed unnumbered.
        unnumbered_resent,
        /// Last numbers repeated, because nobody went on.
        handovers_resent,
        /// Acks asked for, because an entry stayed undelivered.
        acks_asked_for,
        /// Views installed.
        views_installed,
        /// Views proposed by this replica.
        views_proposed,
        /// PREPAREs declined because the present view works.
        prepares_declined,
        /// Promises sent.
        promises_sent,
        /// Entries dropped because the chosen log, or what others delivered, has others.
        entries_dropped,
        /// Entries fetched from others.
        entries_fetched,
        /// Entries sent to others that fetch.
        entries_sent,
        /// FETCH chunks sent.
        fetches_sent,
        /// INQUIRY chunks sent.
        inquiries_sent,
        /// Requests for pieces of what a member's storage holds.
        copy_requests_sent,
        /// Pieces that were sent to others, and that were taken from them.
        copy_pieces_sent,
        /// See `copy_pieces_sent`.
        copy_pieces_taken,
        /// Copies that took the place of the own log.
        copies_taken,
        /// Own disks found to be lost, and recovered.
        disks_lost,
        /// See `disks_lost`.
        disks_recovered,
        /// Logs written anew, because they could not be read back.
        logs_rewritten,
        /// What was told of views and logs that nobody tells who keeps the rules.
        impossible_views,
        /// Calls refused because too many wait.
        calls_refused_overloaded,
        /// Calls refused because their deadline came.
        calls_overdue,
    }
}
