-- A small net learns from a large one's soft answers, as in PyTorch's tutorial on knowledge distillation.
local mg = require "moongrad"
local nn, optim = mg.nn, mg.optim

local scripts = (arg[0]:match "^.*/" or "./") .. "../../../scripts/"

local Teacher = nn.Module "Teacher"
function Teacher:init(num_classes)
  self.features = nn.Sequential(
    nn.Conv2d(1, 16, { kernel_size = 3, padding = 1 }), nn.ReLU(),
    nn.Conv2d(16, 16, { kernel_size = 3, padding = 1 }), nn.ReLU(), nn.MaxPool2d{ kernel_size = 2, stride = 2 })
  self.classifier = nn.Sequential(nn.Linear(256, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, num_classes or 10))
end
function Teacher:forward(x)
  x = self.features(x)
  x = mg.flatten(x, 2)
  return self.classifier(x)
end

local Student = nn.Module "Student"
function Student:init(num_classes)
  self.features = nn.Sequential(nn.Conv2d(1, 4, { kernel_size = 3, padding = 1 }), nn.ReLU(), nn.MaxPool2d{ kernel_size = 2, stride = 2 })
  self.classifier = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, num_classes or 10))
end
function Student:forward(x)
  x = self.features(x)
  x = mg.flatten(x, 2)
  return self.classifier(x)
end

local pixels, labels = dofile(scripts .. "lib/digits.lua").read(scripts .. "data/digits.csv", 192)
pixels = pixels:view(-1, 1, 8, 8) / 16
local batches = {}
local label_batches = labels:split(32)
for i, inputs in ipairs(pixels:split(32)) do batches[i] = { inputs, label_batches[i] } end

local function train(model, epochs, learning_rate)
  local criterion = nn.CrossEntropyLoss()
  local optimizer = optim.Adam(model:parameters(), { lr = learning_rate })
  model:train()
  for epoch = 1, epochs do
    local running_loss = 0.0
    for _, batch in ipairs(batches) do
      local inputs, labels = table.unpack(batch)
      optimizer:zero_grad()
      local loss = criterion(model(inputs), labels)
      loss:backward()
      optimizer:step()
      running_loss = running_loss + loss:item()
    end
    print(("teacher %d %.9g"):format(epoch, running_loss / #batches))
  end
end

local function train_knowledge_distillation(teacher, student, epochs, learning_rate, T, soft_target_loss_weight, ce_loss_weight)
  local ce_loss = nn.CrossEntropyLoss()
  local optimizer = optim.Adam(student:parameters(), { lr = learning_rate })
  teacher:eval()
  student:train()
  for epoch = 1, epochs do
    for step, batch in ipairs(batches) do
      local inputs, labels = table.unpack(batch)
      optimizer:zero_grad()
      local teacher_logits = mg.no_grad(function() return teacher(inputs) end)
      local student_logits = student(inputs)
      local soft_targets = nn.functional.softmax(teacher_logits / T, { dim = -1 })
      local soft_prob = nn.functional.log_softmax(student_logits / T, { dim = -1 })
      -- As in "Distilling the knowledge in a neural network": scaled by T².
      local soft_targets_loss = mg.sum(soft_targets * (soft_targets:log() - soft_prob)) / soft_prob:size()[1] * T ^ 2
      local label_loss = ce_loss(student_logits, labels)
      local loss = soft_target_loss_weight * soft_targets_loss + ce_loss_weight * label_loss
      loss:backward()
      optimizer:step()
      print(("student %d %d %.9g %.9g"):format(epoch, step, loss:item(), soft_targets_loss:item()))
    end
  end
end

local function test(name, model)
  model:eval()
  mg.no_grad(function()
    local _, predicted = model(pixels):max(2)
    print(("%s right %d"):format(name, predicted:eq(labels):sum():item()))
  end)
end

mg.manual_seed(42)
local teacher = Teacher()
train(teacher, 4, 0.002)
test("teacher", teacher)
mg.manual_seed(42)
local student = Student()
train_knowledge_distillation(teacher, student, 3, 0.002, 2, 0.25, 0.75)
test("student", student)
