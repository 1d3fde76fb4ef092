// JSON: what the grammar of RFC 8259 allows is read and written back, and what it does not is refused at its place.

import Files
import Testing

@Suite struct JSONTests {
  @Test func values() throws {
    #expect(try JSON(" null ") == .null)
    #expect(try JSON("[true,false]") == .array([.boolean(true), .boolean(false)]))
    #expect(
      try JSON("[0, -0, 12, -7, 1.5, 1e3, -2.5E-2]")
        == .array([
          .integer(0), .integer(0), .integer(12), .integer(-7), .number(1.5), .number(1000), .number(-0.025),
        ]))
    #expect(try JSON("9223372036854775807") == .integer(.max))
    #expect(try JSON("9223372036854775808") == .number(9_223_372_036_854_775_808))
    #expect(try JSON(#""\" \\ \/ \b\f\n\r\t \u00e9 \ud83d\ude00 ü""#) == .string("\" \\ / \u{8}\u{c}\n\r\t é 😀 ü"))
    #expect(
      try JSON(#"{ "b": 1, "a": { "": [] } }"#)
        == .object([
          .init("b", .integer(1)), .init("a", .object([.init("", .array([]))])),
        ]))
    #expect(try JSON(#"{"a": 1}"#)["a"] == .integer(1))
    #expect(try JSON(#"{"a": 1}"#)["b"] == nil)
  }

  @Test func writing() throws {
    let text = #"{"b":[1,2.5,null,true],"a":"\" \\ \n \u0001 é","c":{}}"#
    #expect(try JSON(text).description == text)
    #expect(JSON.number(.infinity).description == "null")
    #expect(JSON.number(0.1).description == "0.1")
  }

  @Test(arguments: [
    ("", "line 1, column 1: a value was expected, got the end"),
    ("{", "line 1, column 2: a member's name in double quotes was expected, got the end"),
    ("[1,", "line 1, column 4: a value was expected, got the end"),
    ("[1 2]", "line 1, column 4: ',' or ']' was expected, got '2'"),
    ("[1,]", "line 1, column 4: a value was expected, got ']'"),
    ("{\"a\" 1}", "line 1, column 6: ':' was expected after a name, got '1'"),
    ("{\"a\":1,\n \"a\":2}", "line 2, column 2: the name \"a\" comes a second time"),
    ("01", "line 1, column 1: a number does not begin with 0"),
    ("-", "line 1, column 2: a digit was expected, got the end"),
    ("1.", "line 1, column 3: a digit was expected, got the end"),
    ("1e", "line 1, column 3: a digit was expected, got the end"),
    ("+1", "line 1, column 1: a value was expected, got '+'"),
    ("nul", "line 1, column 1: 'null' was expected"),
    ("\"abc", "line 1, column 1: the string that begins here does not end"),
    ("\"a\nb\"", "line 1, column 3: a control character, byte 10, in a string"),
    (#""\x""#, "line 1, column 3: \\'x' is no escape"),
    (#""\u12g4""#, "line 1, column 6: four hexadecimal digits were expected, got 'g'"),
    (#""\ud800""#, "line 1, column 2: half of a surrogate pair"),
    (#""\ude00""#, "line 1, column 2: half of a surrogate pair"),
    ("1 1", "line 1, column 3: the end was expected after the value, got '1'"),
    ("NaN", "line 1, column 1: a value was expected, got 'N'"),
  ])
  func refused(_ text: String, _ problem: String) {
    #expect(throws: FileError.self) { try JSON(text) }
    do { _ = try JSON(text) } catch { #expect("\(error)" == problem) }
  }

  @Test func bytes() throws {
    let bad: [UInt8] = [0x22, 0xff, 0x22]
    #expect(throws: FileError.self) { try bad.withUnsafeBytes { try JSON($0) } }
    #expect(throws: FileError.self) { try JSON(String(repeating: "[", count: 100_000)) }
    // Every beginning of a text is refused, and nothing is read beyond its end.
    let whole = Array(#"{"a":[1,-2.5e3,"x\u00e9\ud83d\ude00",true,null],"b":{}}"#.utf8)
    for count in 0..<whole.count {
      let part = Array(whole[..<count])
      #expect(throws: FileError.self) { try part.withUnsafeBytes { try JSON($0) } }
    }
  }
}
