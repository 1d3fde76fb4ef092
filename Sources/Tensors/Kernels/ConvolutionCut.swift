// How a convolution is cut into tasks: by images, by channels, and images of many places into bands.

/// How many images and channels of the result a task has, and the bands of an image where one has several. By sizes alone and not
/// by the number of threads: results are the same for any.
struct ConvolutionCut {
  private(set) var images, channels: Int
  /// Nil where images are whole.
  private(set) var bands: [WindowBand]?

  /// Multiplications and additions that are worth a task.
  private static let worthATask = 4_000_000
  /// Where there are so many tasks they have up to three times as many operations: calling oneDNN thrice for one takes a tenth of
  /// its time else.
  private static let manyTasks = 16
  /// So many keep several threads busy.
  static let mostTasks = 8
  /// What a task should have at most, which is tens of milliseconds: whoever stops a convolution waits for the tasks under way.
  private static let longest = 1_000_000_000
  /// Places of a band at most, since some of oneDNN's kernels want room for all windows of a task at once.
  private static let mostPlaces = 1 << 19
  /// Places side by side of one task: oneDNN makes code for each of them, at a microsecond apiece, when a plan is made.
  private static let widest = 1 << 14

  init(_ role: ConvolutionRole, _ sizes: ConvolutionSizes) {
    let batch = sizes.batch
    let perImage = Swift.max(sizes.operations / batch, 1)
    let width = sizes.windows.output.last ?? 1
    let isWide = width > 2 * Self.widest
    images = Swift.min(batch, Swift.max((Self.worthATask - 1) / perImage + 1, 1))
    if sizes.operations > Self.worthATask { images = Swift.min(images, (batch + 1) / 2) }
    images = Swift.max(images, Swift.min(batch / Self.manyTasks, 3 * Self.worthATask / perImage))
    if role == .weight {
      images = Swift.max(images, (batch - 1) / Self.mostTasks + 1, Swift.min(batch, 16 / sizes.windows.places))
      images = Swift.min(images, Swift.max(Self.longest / perImage, 1))
    }
    if isWide { images = 1 }
    let pieces = (batch - 1) / images + 1
    // Channels, where there are few images.
    let all = role == .input ? sizes.inputs : sizes.outputs
    channels = all
    if sizes.groups == 1, pieces < Self.mostTasks, all >= 64 {
      let wanted = Swift.min(all / 32, Self.mostTasks / pieces, images * perImage / (2 * Self.worthATask))
      if wanted > 1 { channels = (all / wanted + 31) / 32 * 32 }
    }
    let long = Swift.min(images * perImage / Self.longest, all / 16)
    if sizes.groups == 1, role != .weight, long > 1 { channels = Swift.min(channels, (all / long + 15) / 16 * 16) }
    // Bands, where there are few images of few channels, or where that is too long still.
    guard images == 1 else { return }
    let chunks = (all - 1) / channels + 1
    var wanted = Swift.max(perImage / chunks / Self.longest, sizes.windows.places / Self.mostPlaces) + 1
    if isWide { wanted = Swift.max(wanted, width / Self.widest) }
    if pieces * chunks < Self.mostTasks {
      wanted = Swift.max(wanted, Swift.min(Self.mostTasks / (pieces * chunks), perImage / chunks / (2 * Self.worthATask)))
    }
    if wanted > 1 { bands = sizes.windows.bands(wanted, ofImage: role == .input) }
  }
}

/// A part of an image, and the places of the windows that reach into it.
struct WindowBand {
  /// As if there were nothing else: what the windows reach beyond the part is padding.
  let windows: Windows
  /// Elements of one channel before its part and before its places.
  let image, places: Int
}

extension Windows {
  /// Cuts the dimension that has most places into up to `count` bands: of places that lie together, with all that their windows reach, or
  /// `ofImage`, of elements that lie together, with all windows that reach them. Nil where that cannot be, or makes no two.
  func bands(_ count: Int, ofImage: Bool) -> [WindowBand]? {
    guard let dimension = output.indices.max(by: { output[$0] < output[$1] }) else { return nil }
    let (size, all) = (input[dimension], output[dimension])
    let (step, before) = (stride[dimension], padding[dimension])
    let reach = dilation[dimension] * (kernel[dimension] - 1) + 1
    // What two neighbours both read should be little of either.
    let each = Swift.max((all - 1) / count + 1, reach / step, 8)
    guard each < all else { return nil }
    let imageStep = input[(dimension + 1)...].reduce(1, *)
    let placeStep = output[(dimension + 1)...].reduce(1, *)
    var result: [WindowBand] = []
    for first in Swift.stride(from: 0, to: all, by: each) {
      let next = Swift.min(first + each, all)
      // Elements from where the band's first window begins to where the next band's does, or to where its own last one ends.
      let (begin, end, places): (Int, Int, Range<Int>)
      if ofImage {
        begin = first == 0 ? 0 : first * step - before
        end = next == all ? size : next * step - before
        places = Swift.max(first - (reach - 1) / step, 0)..<next
      } else {
        begin = Swift.max(first * step - before, 0)
        end = Swift.min((next - 1) * step - before + reach, size)
        places = first..<next
      }
      guard 0 <= begin, begin < end, end <= size else { return nil }
      var part = self
      part.input[dimension] = end - begin
      part.output[dimension] = places.count
      part.padding[dimension] = begin + before - places.lowerBound * step
      result.append(WindowBand(windows: part, image: begin * imageStep, places: places.lowerBound * placeStep))
    }
    return result
  }
}
