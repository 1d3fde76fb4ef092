// Warnings that the library has for its users, from places that cannot give them: a collection, the recording of an
// operation. The layer above fetches them before its next call and gives them in its own way.

/// Warnings of the context in force that wait to be given.
package enum Notice {
  /// Leaves a warning to be fetched; one that waits already is not left twice.
  package static func post(_ text: String) {
    let context = Context.current
    if !context.pointee.notices.contains(text) { context.pointee.notices.append(text) }
  }

  /// The same, once for the context.
  package static func postOnce(_ text: String) {
    if isNews(text) { post(text) }
  }

  /// Whether the context in force is told this for the first time, for who gives a warning itself.
  package static func isNews(_ text: String) -> Bool { Context.current.pointee.said.insert(text).inserted }

  /// The warnings that waited, in order; they wait no more.
  package static func take() -> [String] {
    let context = Context.current
    defer { context.pointee.notices = [] }
    return context.pointee.notices
  }
}
